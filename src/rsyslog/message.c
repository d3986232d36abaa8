/* SPDX-License-Identifier: Apache-2.0 */
/* The templates that are functions, and their reader. No state but rsyslog's own interfaces, set while the module
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

#include "tasklog/number.h"

DEFobjStaticHelpers;
DEFobjCurrIf(datetime);
DEFobjCurrIf(glbl);

enum {
    HOST_BYTES_MAX = 255, /* as much of a host's name as DNS allows */
    ADDRESS_BYTES_MAX = 64,
    RECORD_MAGIC = 0x7461736b,
};

/* What the buffer begins with; host, tag, text and address follow, and a NUL. */
struct record {
    uint32_t magic;
    uint32_t sender_pid;
    int64_t time_us;
    int64_t received_us;
    uint64_t stream;
    uint32_t number;
    uint32_t host_bytes;
    uint32_t tag_bytes;
    uint32_t text_bytes;
    uint32_t from_bytes;
    uint32_t uid;
    uint16_t severity;
    bool is_rfc5424;
    bool is_local;
    bool has_uid;
};

/* imuxsock's trusted ones, which it has of the kernel */
static msgPropDescr_t pid_property, uid_property;
static msgPropDescr_t address_property;

static int64_t moment_us(const struct syslogTime *at)
{
    int64_t fraction = at->secfrac;

    for (int digits = (unsigned char)at->secfracPrecision; digits < 6; digits++)
        fraction *= 10;
    for (int digits = (unsigned char)at->secfracPrecision; digits > 6; digits--)
        fraction /= 10;
    return (int64_t)datetime.syslogTime2time_t(at) * 1000000 + fraction;
}

/* A property that the input has given the message; false if it has none. In a message of another input it
 * would be somebody's text: a module that parses texts has put it there. */
static bool read_trusted(smsg_t *message, msgPropDescr_t *property, int64_t *ret_value)
{
    static const char imuxsock[] = "imuxsock";
    unsigned short must_free = 0;
    rs_size_t bytes = 0;
    uchar *input;
    int input_bytes;
    char *end;

    if (!message->json)
        return false;
    getInputName(message, &input, &input_bytes);
    if (input_bytes != sizeof(imuxsock) - 1 || memcmp(input, imuxsock, sizeof(imuxsock) - 1) != 0)
        return false;
    uchar *value = MsgGetProp(message, NULL, property, &bytes, &must_free, NULL);
    *ret_value = value ? strtoll((const char *)value, &end, 10) : 0;
    bool is_number = value && bytes > 0 && end == (char *)value + bytes;
    if (must_free)
        free(value);
    return is_number;
}

/* Who is at the other end of the connection: a message's host is what it says itself. Returns
 * its length. */
static uint32_t read_address(smsg_t *message, char address[ADDRESS_BYTES_MAX])
{
    unsigned short must_free = 0;
    rs_size_t bytes = 0;
    uchar *value = MsgGetProp(message, NULL, &address_property, &bytes, &must_free, NULL);

    if (!value || bytes < 0)
        bytes = 0;
    if (bytes > ADDRESS_BYTES_MAX)
        bytes = ADDRESS_BYTES_MAX;
    if (bytes > 0)
        memcpy(address, value, (size_t)bytes);
    if (must_free)
        free(value);
    return (uint32_t)bytes;
}

/* The number that the sender gave it; only RFC 5424 has structured data. */
static void read_number(smsg_t *message, struct record *record)
{
    uchar *data;
    rs_size_t bytes;

    if (!record->is_rfc5424)
        return;
    MsgGetStructuredData(message, &data, &bytes);
    if (!tasklog_number_parse((const char *)data, (size_t)bytes, &record->stream, &record->number))
        record->stream = 0;
}

static bool is_own_host(const char *host, size_t bytes)
{
    const char *own = (const char *)glbl.GetLocalHostName();

    return own && strncasecmp(own, host, bytes) == 0 && own[bytes] == '\0';
}

static rsRetVal render(smsg_t *message, bool with_sender, actWrkrIParams_t *ret_param)
{
    char address[ADDRESS_BYTES_MAX];
    int64_t number;
    const char *host = getHOSTNAME(message);
    const uchar *text = getMSG(message);
    size_t host_bytes = strlen(host);
    uchar *tag;
    int tag_bytes;
    DEFiRet;

    getTAG(message, &tag, &tag_bytes, LOCK_MUTEX);
    if (host_bytes > HOST_BYTES_MAX)
        host_bytes = HOST_BYTES_MAX;
    struct record record = {.magic = RECORD_MAGIC,
                            .time_us = moment_us(&message->tTIMESTAMP),
                            .received_us = moment_us(&message->tRcvdAt),
                            .host_bytes = (uint32_t)host_bytes,
                            .tag_bytes = (uint32_t)tag_bytes,
                            .text_bytes = (uint32_t)getMSGLen(message),
                            .severity = message->iSeverity,
                            .is_rfc5424 = message->iProtocolVersion == 1,
                            .is_local = is_own_host(host, host_bytes)};
    if (read_trusted(message, &pid_property, &number))
        record.sender_pid = (uint32_t)number;
    if (with_sender && read_trusted(message, &uid_property, &number)) {
        record.uid = (uint32_t)number; /* rsyslog has it as an int: the highest are negative */
        record.has_uid = true;
    }
    if (with_sender)
        record.from_bytes = read_address(message, address);
    read_number(message, &record);
    size_t bytes = sizeof(record) + record.host_bytes + record.tag_bytes + record.text_bytes +
                   record.from_bytes;
    if (bytes + 1 > ret_param->lenBuf)
        CHKiRet(ExtendBuf(ret_param, bytes + 1));
    uchar *at = mempcpy(ret_param->param, &record, sizeof(record));
    at = mempcpy(at, host, record.host_bytes);
    at = mempcpy(at, tag, record.tag_bytes);
    at = mempcpy(at, text, record.text_bytes);
    at = mempcpy(at, address, record.from_bytes);
    *at = '\0';
    ret_param->lenStr = (uint32_t)bytes;

finalize_it:
    RETiRet;
}

/* rsyslog calls these for a message of a batch. */
static rsRetVal render_message(const smsg_t *message, actWrkrIParams_t *ret_param)
{
    return render((smsg_t *)message, false, ret_param);
}

static rsRetVal render_sender(const smsg_t *message, actWrkrIParams_t *ret_param)
{
    return render((smsg_t *)message, true, ret_param);
}

void message_read(const actWrkrIParams_t *param, struct tasklog_line *line,
                  struct tasklog_message *message)
{
    const struct record *record = (const struct record *)(const void *)param->param;
    const char *host = (const char *)(record + 1);

    line->severity = record->severity;
    line->time_us = record->time_us;
    line->received_us = record->received_us;
    line->stream = record->stream;
    line->number = record->number;
    line->host = host;
    line->host_bytes = record->host_bytes;
    line->is_local = record->is_local;
    line->sender_pid = record->sender_pid;
    line->has_uid = record->has_uid;
    line->uid = record->uid;
    message->is_rfc5424 = record->is_rfc5424;
    message->tag = host + record->host_bytes;
    message->tag_bytes = record->tag_bytes;
    message->text = message->tag + record->tag_bytes;
    message->text_bytes = record->text_bytes;
    line->from = message->text + record->text_bytes;
    line->from_bytes = record->from_bytes;
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

static rsRetVal add_template(rsconf_t *conf, const char *name,
                             rsRetVal (*strgen)(const smsg_t *, actWrkrIParams_t *))
{
    uchar *empty = (uchar *)"\"\"";
    struct template *template = tplAddLine(conf, name, &empty);

    if (!template)
        return RS_RET_OUT_OF_MEMORY;
    template->pStrgen = strgen;
    return RS_RET_OK;
}

rsRetVal message_open(rsconf_t *conf)
{
    uchar *checked =
        (uchar *)"\"%syslogseverity% %protocol-version% "
                 "%timereported:::date-unixtimestamp%.%timereported:::date-subseconds% "
                 "%timegenerated:::date-unixtimestamp%.%timegenerated:::date-subseconds% "
                 "%hostname% %syslogtag%%msg%\"";
    DEFiRet;

    CHKiRet(objGetObjInterface(&obj));
    CHKiRet(objUse(datetime, CORE_COMPONENT));
    CHKiRet(objUse(glbl, CORE_COMPONENT));
    CHKiRet(msgPropDescrFill(&pid_property, (uchar *)"$!pid", sizeof("$!pid") - 1));
    CHKiRet(msgPropDescrFill(&uid_property, (uchar *)"$!uid", sizeof("$!uid") - 1));
    CHKiRet(msgPropDescrFill(&address_property, (uchar *)"fromhost-ip", sizeof("fromhost-ip") - 1));
    tplAddLine(conf, CHECKED_TEMPLATE, &checked);
    CHKiRet(add_template(conf, MESSAGE_TEMPLATE, render_message));
    CHKiRet(add_template(conf, SENDER_TEMPLATE, render_sender));

finalize_it:
    RETiRet;
}

void message_close(void)
{
    msgPropDescrDestruct(&address_property);
    msgPropDescrDestruct(&uid_property);
    msgPropDescrDestruct(&pid_property);
    objRelease(glbl, CORE_COMPONENT);
    objRelease(datetime, CORE_COMPONENT);
}
