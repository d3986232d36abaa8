/* SPDX-License-Identifier: Apache-2.0 */
/* The template that is a function, and its reader. No state but rsyslog's own interfaces, set while the module
 * is loaded; the function runs in any number of threads at once. */
#include "config.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "datetime.h"
#include "errmsg.h"
#include "glbl.h"
#include "msg.h"
#include "obj.h"

DEFobjStaticHelpers;
DEFobjCurrIf(datetime);
DEFobjCurrIf(glbl);

enum {
    HOST_BYTES_MAX = 255, /* as much of a host's name as DNS allows */
    RECORD_MAGIC = 0x7461736b,
};

/* What the buffer begins with; host, tag and text follow, and a NUL. */
struct record {
    uint32_t magic;
    uint32_t sender_pid;
    int64_t time_us;
    int64_t received_us;
    uint32_t host_bytes;
    uint32_t tag_bytes;
    uint32_t text_bytes;
    uint16_t severity;
    bool is_rfc5424;
    bool is_local;
};

static msgPropDescr_t pid_property; /* of imuxsock's trusted ones */

static int64_t moment_us(const struct syslogTime *at)
{
    int64_t fraction = at->secfrac;

    for (int digits = at->secfracPrecision; digits < 6; digits++)
        fraction *= 10;
    for (int digits = at->secfracPrecision; digits > 6; digits--)
        fraction /= 10;
    return (int64_t)datetime.syslogTime2time_t(at) * 1000000 + fraction;
}

static uint32_t sender_pid(smsg_t *message)
{
    unsigned short must_free = 0;
    rs_size_t bytes = 0;

    if (!message->json)
        return 0;
    uchar *value = MsgGetProp(message, NULL, &pid_property, &bytes, &must_free, NULL);
    uint32_t pid = value ? (uint32_t)strtoul((const char *)value, NULL, 10) : 0;
    if (must_free)
        free(value);
    return pid;
}

static bool is_own_host(const char *host, size_t bytes)
{
    const char *own = (const char *)glbl.GetLocalHostName();

    return own && strncasecmp(own, host, bytes) == 0 && own[bytes] == '\0';
}

/* rsyslog calls it for a message of a batch. */
static rsRetVal render(const smsg_t *const_message, actWrkrIParams_t *ret_param)
{
    smsg_t *message = (smsg_t *)const_message;
    const char *host = getHOSTNAME(message);
    const uchar *text = getMSG(message);
    size_t host_bytes = strlen(host);
    uchar *tag;
    int tag_bytes;
    DEFiRet;

    getTAG(message, &tag, &tag_bytes, LOCK_MUTEX);
    if (host_bytes > HOST_BYTES_MAX)
        host_bytes = HOST_BYTES_MAX;
    const struct record record = {.magic = RECORD_MAGIC,
                                  .sender_pid = sender_pid(message),
                                  .time_us = moment_us(&message->tTIMESTAMP),
                                  .received_us = moment_us(&message->tRcvdAt),
                                  .host_bytes = (uint32_t)host_bytes,
                                  .tag_bytes = (uint32_t)tag_bytes,
                                  .text_bytes = (uint32_t)getMSGLen(message),
                                  .severity = message->iSeverity,
                                  .is_rfc5424 = message->iProtocolVersion == 1,
                                  .is_local = is_own_host(host, host_bytes)};
    size_t bytes = sizeof(record) + record.host_bytes + record.tag_bytes + record.text_bytes;
    if (bytes + 1 > ret_param->lenBuf)
        CHKiRet(ExtendBuf(ret_param, bytes + 1));
    uchar *at = mempcpy(ret_param->param, &record, sizeof(record));
    at = mempcpy(at, host, record.host_bytes);
    at = mempcpy(at, tag, record.tag_bytes);
    at = mempcpy(at, text, record.text_bytes);
    *at = '\0';
    ret_param->lenStr = (uint32_t)bytes;

finalize_it:
    RETiRet;
}

void message_read(const actWrkrIParams_t *param, struct tasklog_line *line,
                  struct tasklog_message *message)
{
    const struct record *record = (const struct record *)(const void *)param->param;
    const char *host = (const char *)(record + 1);

    line->severity = record->severity;
    line->time_us = record->time_us;
    line->received_us = record->received_us;
    line->host = host;
    line->host_bytes = record->host_bytes;
    line->is_local = record->is_local;
    line->sender_pid = record->sender_pid;
    message->is_rfc5424 = record->is_rfc5424;
    message->tag = host + record->host_bytes;
    message->tag_bytes = record->tag_bytes;
    message->text = message->tag + record->tag_bytes;
    message->text_bytes = record->text_bytes;
}

/* ---- the check ---- */

#define CHECKED_TEMPLATE " TasklogChecked"
#define CHECKED_TAG "kind[id]:"
#define CHECKED_TEXT " a text"
#define CHECKED_HOST "host"

static smsg_t *new_message(void)
{
    static const char raw[] = CHECKED_TEXT;
    smsg_t *message = NULL;

    if (msgConstruct(&message) != RS_RET_OK)
        return NULL;
    MsgSetRawMsg(message, raw, sizeof(raw) - 1);
    MsgSetMSGoffs(message, 0);
    MsgSetTAG(message, (const uchar *)CHECKED_TAG, sizeof(CHECKED_TAG) - 1);
    MsgSetHOSTNAME(message, (const uchar *)CHECKED_HOST, sizeof(CHECKED_HOST) - 1);
    msgSetPRI(message, 13); /* facility 1, severity 5 */
    return message;
}

/* What rsyslog's own template says, in the same words. */
static bool says_the_same(const actWrkrIParams_t *theirs, const actWrkrIParams_t *ours)
{
    struct tasklog_line line = {0};
    struct tasklog_message message = {0};
    char text[256];

    if (ours->lenStr != sizeof(struct record) + sizeof(CHECKED_HOST CHECKED_TAG CHECKED_TEXT) - 1 ||
        ((const struct record *)(const void *)ours->param)->magic != RECORD_MAGIC)
        return false;
    message_read(ours, &line, &message);
    snprintf(text, sizeof(text), "%d %d %lld.%06lld %lld.%06lld %.*s %.*s%.*s", line.severity,
             message.is_rfc5424, (long long)(line.time_us / 1000000),
             (long long)(line.time_us % 1000000), (long long)(line.received_us / 1000000),
             (long long)(line.received_us % 1000000), (int)line.host_bytes, line.host,
             (int)message.tag_bytes, message.tag, (int)message.text_bytes, message.text);
    return strcmp((const char *)theirs->param, text) == 0;
}

static struct template *find_template(rsconf_t *conf, const char *name)
{
    return tplFind(conf, (char *)name, (int)strlen(name));
}

rsRetVal message_check(rsconf_t *conf)
{
    struct template *theirs = find_template(conf, CHECKED_TEMPLATE);
    struct template *ours = find_template(conf, MESSAGE_TEMPLATE);
    actWrkrIParams_t said = {0}, read = {0};
    smsg_t *message = new_message();
    DEFiRet;

    if (!message)
        ABORT_FINALIZE(RS_RET_OUT_OF_MEMORY);
    if (!theirs || !ours || tplToString(theirs, message, &said, NULL) != RS_RET_OK ||
        tplToString(ours, message, &read, NULL) != RS_RET_OK || !says_the_same(&said, &read))
        iRet = RS_RET_NOT_IMPLEMENTED;

finalize_it:
    free(said.param);
    free(read.param);
    if (message)
        msgDestruct(&message);
    RETiRet;
}

/* ---- life ---- */

rsRetVal message_open(rsconf_t *conf)
{
    uchar *checked =
        (uchar *)"\"%syslogseverity% %protocol-version% "
                 "%timereported:::date-unixtimestamp%.%timereported:::date-subseconds% "
                 "%timegenerated:::date-unixtimestamp%.%timegenerated:::date-subseconds% "
                 "%hostname% %syslogtag%%msg%\"";
    uchar *empty = (uchar *)"\"\"";
    DEFiRet;

    CHKiRet(objGetObjInterface(&obj));
    CHKiRet(objUse(datetime, CORE_COMPONENT));
    CHKiRet(objUse(glbl, CORE_COMPONENT));
    CHKiRet(msgPropDescrFill(&pid_property, (uchar *)"$!pid", sizeof("$!pid") - 1));
    tplAddLine(conf, CHECKED_TEMPLATE, &checked);
    struct template *template = tplAddLine(conf, MESSAGE_TEMPLATE, &empty);
    if (!template)
        ABORT_FINALIZE(RS_RET_OUT_OF_MEMORY);
    template->pStrgen = render;

finalize_it:
    RETiRet;
}

void message_close(void)
{
    msgPropDescrDestruct(&pid_property);
    objRelease(glbl, CORE_COMPONENT);
    objRelease(datetime, CORE_COMPONENT);
}
