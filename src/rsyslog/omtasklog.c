/* SPDX-License-Identifier: Apache-2.0 */
/*
 * omtasklog: rsyslog's door. Entry points, parameters, and nothing else: what a message
 * becomes is the collector's business.
 *
 * Concurrency: an action (instanceData) has one collector, which locks for itself; workers
 * (wrkrInstanceData) come and go with rsyslog's threads and share nothing. commitTransaction runs in
 * any number of them at once. It only hands lines over and always succeeds: rsyslog's ways of
 * retrying lose, double or reorder messages. Threads are started in activateCnf, after the fork and the
 * drop of privileges, and end in freeInstance; `rsyslogd -N1` gets to neither.
 */
#include "config.h"
#include "rsyslog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf.h"
#include "syslogd-types.h"
#include "template.h"
#include "module-template.h"
#include "errmsg.h"
#include "glbl.h"
#include "rsconf.h"

#include "intake.h"
#include "message.h"
#include "stats.h"
#include "tasklog/collector.h"
#include "tasklog/system_clock.h"

MODULE_TYPE_OUTPUT;
MODULE_TYPE_NOKEEP;
MODULE_CNFNAME("omtasklog")

DEF_OMOD_STATIC_DATA;
DEFobjCurrIf(glbl);

enum {
    STOP_TIMEOUT_MS = 5000, /* how long a stop waits for databases, all actions together */
    STOP_LEAST_MS = 250,    /* but each at least so long: another's database may be to blame */
    NAME_BYTES = 128,
};

static const char *const template_parameters[USE_COUNT] = {
    [USE_LINE] = "template", [USE_TASK] = "taskTemplate", [USE_KIND] = "kindTemplate"};

typedef struct _instanceData {
    struct _instanceData *next;          /* in the list of all actions */
    char name[NAME_BYTES];               /* for people */
    struct tasklog_config *config;       /* until the collector owns it */
    struct tasklog_collector *collector; /* from activateCnf on */
    struct intake_strings strings;       /* of each message */
    struct stats stats;
} instanceData;

typedef struct wrkrInstanceData {
    instanceData *pData;
    struct intake intake;
} wrkrInstanceData_t;

/* Host-required state: modules are told to start all their actions at once. Changed by the main thread
 * only, while no other uses it: before the inputs start and after they have ended. */
static instanceData *instances;
static int64_t stop_until_ms; /* when a stop must be over; 0 = it has not begun */

/* Names as users see them; the collector's config knows what each takes, and templates are rsyslog's. */
static struct cnfparamdescr parameter_descriptions[] = {
    {"database", eCmdHdlrString, 0},
    {"table", eCmdHdlrString, 0},
    {"key", eCmdHdlrArray, 0},
    {"columns", eCmdHdlrArray, 0},
    {"mode", eCmdHdlrString, 0},
    {"level", eCmdHdlrString, 0},
    {"marker", eCmdHdlrString, 0},
    {"template", eCmdHdlrString, 0},
    {"showlevel", eCmdHdlrString, 0},
    {"tasktemplate", eCmdHdlrString, 0},
    {"kindtemplate", eCmdHdlrString, 0},
    {"idletimeout", eCmdHdlrString, 0},
    {"maxruntime", eCmdHdlrString, 0},
    {"latewindow", eCmdHdlrString, 0},
    {"liveinterval", eCmdHdlrString, 0},
    {"livebytes", eCmdHdlrString, 0},
    {"taskmaxbytes", eCmdHdlrString, 0},
    {"memorybudget", eCmdHdlrString, 0},
    {"spool", eCmdHdlrString, 0},
    {"spoolsync", eCmdHdlrString, 0},
    {"trusteduids", eCmdHdlrArray, 0},
    {"sendermaxtasks", eCmdHdlrString, 0},
    {"sendermaxrate", eCmdHdlrString, 0},
};
static struct cnfparamblk parameter_block = {CNFPARAMBLK_VERSION,
                                             sizeof(parameter_descriptions) /
                                                 sizeof(parameter_descriptions[0]),
                                             parameter_descriptions};

struct modConfData_s {
    rsconf_t *pConf;
};

/* ---- what the collector is lent ---- */

static void say(void *context, int severity, const char *text)
{
    const instanceData *pData = context;

    LogMsg(0, NO_ERRCODE, severity, "omtasklog: action \"%s\": %s", pData->name, text);
}

static const char uid_advice[] = "set Annotate=\"on\" ParseTrusted=\"on\" on its imuxsock input; "
                                 "lines from the network have none";

/* The counters of all actions are wanted. */
static void read_counters(void)
{
    for (instanceData *pData = instances; pData; pData = pData->next)
        if (pData->collector)
            tasklog_collector_count(pData->collector, &pData->stats.counters);
}

/* ---- life of an action ---- */

/* Actions are stopped one after the other, and must not each take the whole time. */
static int stop_time_left_ms(void)
{
    int64_t now_ms = tasklog_system_now(NULL).mono_ms;

    if (stop_until_ms == 0)
        stop_until_ms = now_ms + STOP_TIMEOUT_MS;
    int64_t left_ms = stop_until_ms - now_ms;
    return left_ms < STOP_LEAST_MS ? STOP_LEAST_MS : (int)left_ms;
}

static void forget_instance(const instanceData *pData)
{
    for (instanceData **at = &instances; *at; at = &(*at)->next) {
        if (*at == pData) {
            *at = pData->next;
            return;
        }
    }
}

BEGINcreateInstance
    CODESTARTcreateInstance
ENDcreateInstance

BEGINfreeInstance
    CODESTARTfreeInstance
    forget_instance(pData);
    stats_remove(&pData->stats);
    if (pData->collector)
        tasklog_collector_stop(pData->collector, stop_time_left_ms());
    tasklog_collector_free(pData->collector);
    tasklog_config_free(pData->config);
ENDfreeInstance

BEGINcreateWrkrInstance
    CODESTARTcreateWrkrInstance
ENDcreateWrkrInstance

/* rsyslog may have freed the action before. */
BEGINfreeWrkrInstance
    CODESTARTfreeWrkrInstance
    intake_done(&pWrkrData->intake);
ENDfreeWrkrInstance

BEGINdbgPrintInstInfo
    CODESTARTdbgPrintInstInfo
    dbgprintf("omtasklog: action \"%s\"\n", pData->name);
ENDdbgPrintInstInfo

BEGINisCompatibleWithFeature
    CODESTARTisCompatibleWithFeature
ENDisCompatibleWithFeature

BEGINtryResume
    CODESTARTtryResume
    if (!pWrkrData->pData->collector)
        iRet = RS_RET_SUSPENDED;
ENDtryResume

/* ---- configuration ---- */

static rsRetVal set_parameter(instanceData *pData, const char *name, es_str_t *value)
{
    char error[TASKLOG_ERROR_BYTES];
    char *text = es_str2cstr(value, NULL);
    DEFiRet;

    if (!text)
        ABORT_FINALIZE(RS_RET_OUT_OF_MEMORY);
    if (tasklog_config_set(pData->config, name, text, error) < 0) {
        LogError(0, RS_RET_PARAM_ERROR, "omtasklog: action \"%s\": %s", pData->name, error);
        iRet = RS_RET_PARAM_ERROR;
    }

finalize_it:
    free(text);
    RETiRet;
}

/* Is this one of the parameters that name a template, and what for? */
static enum template_use template_use(const char *name)
{
    int use = 0;

    while (use < USE_COUNT &&
           (!template_parameters[use] || strcasecmp(template_parameters[use], name) != 0))
        use++;
    return (enum template_use)use;
}

/* rsyslog would look for the template itself, and say neither which action nor which parameter. */
static rsRetVal set_template(const instanceData *pData, enum template_use use, es_str_t *value,
                             char **ret_name)
{
    char *name = es_str2cstr(value, NULL);
    DEFiRet;

    CHKmalloc(name);
    *ret_name = name;
    if (!tplFind(loadConf, name, (int)strlen(name))) {
        LogError(0, RS_RET_PARAM_ERROR,
                 "omtasklog: action \"%s\": parameter \"%s\": no template \"%s\" is defined before "
                 "the action",
                 pData->name, template_parameters[use], name);
        iRet = RS_RET_PARAM_ERROR;
    }

finalize_it:
    RETiRet;
}

/* All parameters, so that all errors are seen at once. Template names go to `ret_templates`. */
static rsRetVal set_parameters(instanceData *pData, struct cnfparamvals *values,
                               char *ret_templates[USE_COUNT])
{
    DEFiRet;

    for (unsigned i = 0; i < parameter_block.nParams; i++) {
        const char *name = parameter_descriptions[i].name;
        enum template_use use = template_use(name);
        rsRetVal r = RS_RET_OK;
        if (!values[i].bUsed)
            continue;
        if (use != USE_COUNT) {
            r = set_template(pData, use, values[i].val.d.estr, &ret_templates[use]);
        } else if (parameter_descriptions[i].type == eCmdHdlrArray) {
            struct cnfarray *array = values[i].val.d.ar;
            for (int j = 0; j < array->nmemb; j++)
                if ((r = set_parameter(pData, name, array->arr[j])) != RS_RET_OK)
                    iRet = r;
        } else {
            r = set_parameter(pData, name, values[i].val.d.estr);
        }
        if (r != RS_RET_OK)
            iRet = r;
    }
    RETiRet;
}

/* The name that rsyslog's own parameter gives the action; it reads it after us. */
static void name_instance(instanceData *pData, struct nvlst *list)
{
    es_str_t *key = es_newStrFromCStr("name", 4);
    struct nvlst *entry = key ? nvlstFindName(list, key) : NULL;
    char *name = entry ? es_str2cstr(entry->val.d.estr, NULL) : NULL;

    snprintf(pData->name, sizeof(pData->name), "%s", name ? name : "omtasklog");
    free(name);
    if (key)
        es_deleteStr(key);
}

/* Two actions must not share a spool. */
static rsRetVal check_spool(const instanceData *pData, const char *spool)
{
    DEFiRet;

    for (const instanceData *other = instances; other && *spool; other = other->next) {
        const char *others = other->config ? tasklog_config_spool(other->config) : NULL;
        if (!others || strcmp(others, spool) != 0)
            continue;
        LogError(0, RS_RET_PARAM_ERROR,
                 "omtasklog: action \"%s\": parameter \"spool\": \"%s\" is action \"%s\"'s, too; "
                 "each action needs a folder of its own",
                 pData->name, spool, other->name);
        ABORT_FINALIZE(RS_RET_PARAM_ERROR);
    }

finalize_it:
    RETiRet;
}

/* The default spool is called by the action's name, so that must be a folder's, and no other action's. */
static rsRetVal check_name(const instanceData *pData)
{
    const char *spool = tasklog_config_spool(pData->config);
    const char *why = NULL;
    DEFiRet;

    if (spool) {
        CHKiRet(check_spool(pData, spool));
        FINALIZE;
    }
    if (!*pData->name || strchr(pData->name, '/') || strcmp(pData->name, ".") == 0 ||
        strcmp(pData->name, "..") == 0)
        why = "cannot name a folder";
    for (const instanceData *other = instances; other && !why; other = other->next)
        if (strcmp(other->name, pData->name) == 0)
            why = "is another action's too";
    if (why) {
        LogError(0, RS_RET_PARAM_ERROR,
                 "omtasklog: action \"%s\": parameter \"name\": \"%s\" %s; the spool's folder is "
                 "called by it, so give each action a name of its own, or set \"spool\"",
                 pData->name, pData->name, why);
        iRet = RS_RET_PARAM_ERROR;
    }

finalize_it:
    RETiRet;
}

static rsRetVal request_templates(instanceData *pData, omodStringRequest_t **request,
                                  char *templates[USE_COUNT])
{
    unsigned count = 0;
    DEFiRet;

    for (int use = 0; use < USE_COUNT; use++)
        pData->strings.place[use] = templates[use] ? (int)count++ : -1;
    pData->strings.count = count;
    CHKiRet(OMSRconstruct(request, (int)count));
    for (int use = 0; use < USE_COUNT; use++) {
        if (!templates[use])
            continue;
        char *name = strdup(templates[use]);
        CHKmalloc(name);
        CHKiRet(
            OMSRsetEntry(*request, pData->strings.place[use], (uchar *)name, OMSR_NO_RQD_TPL_OPTS));
    }

finalize_it:
    RETiRet;
}

BEGINnewActInst
    struct cnfparamvals *values = NULL;
    char *templates[USE_COUNT] = {NULL};
    char error[TASKLOG_ERROR_BYTES];
    CODESTARTnewActInst
    CHKiRet(createInstance(&pData));
    name_instance(pData, lst);
    if (tasklog_config_new(&pData->config) < 0)
        ABORT_FINALIZE(RS_RET_OUT_OF_MEMORY);
    values = nvlstGetParams(lst, &parameter_block, NULL);
    if (!values)
        ABORT_FINALIZE(RS_RET_MISSING_CNFPARAMS);
    CHKiRet(set_parameters(pData, values, templates));
    if (tasklog_config_check(pData->config, error) < 0) {
        LogError(0, RS_RET_PARAM_ERROR, "omtasklog: action \"%s\": %s", pData->name, error);
        ABORT_FINALIZE(RS_RET_PARAM_ERROR);
    }
    CHKiRet(check_name(pData));
    CHKmalloc(templates[USE_MESSAGE] =
                  strdup(tasklog_config_tells_senders(pData->config) ? SENDER_TEMPLATE
                                                                     : MESSAGE_TEMPLATE));
    CHKiRet(request_templates(pData, ppOMSR, templates));
    pData->next = instances;
    instances = pData;
    CODE_STD_FINALIZERnewActInst
    for (int use = 0; use < USE_COUNT; use++)
        free(templates[use]);
    if (values)
        cnfparamvalsDestruct(values, &parameter_block);
ENDnewActInst

NO_LEGACY_CONF_parseSelectorAct

static void say_no_work_folder(const instanceData *pData)
{
    LogError(0, RS_RET_PARAM_ERROR,
             "omtasklog: action \"%s\" cannot start: parameter \"spool\" is not set and neither is "
             "global(workDirectory=…), below which it would be",
             pData->name);
}

BEGINbeginCnfLoad
    CODESTARTbeginCnfLoad;
    pModConf->pConf = pConf;
ENDbeginCnfLoad

BEGINendCnfLoad
    CODESTARTendCnfLoad
ENDendCnfLoad

/* All of the configuration was read: is there a place for the spools that have none of their own? */
BEGINcheckCnf
    CODESTARTcheckCnf
    const char *work = (const char *)glbl.GetWorkDir(pModConf->pConf);
    for (const instanceData *pData = instances; pData && (!work || !*work); pData = pData->next)
        if (!tasklog_config_has_spool(pData->config))
            say_no_work_folder(pData);
ENDcheckCnf

/* How rsyslog was told to show control characters. Its C style (`\n`) cannot be told from text. */
static int escape_prefix(const rsconf_t *conf)
{
    rsconf_t *globals = (rsconf_t *)conf;

    if (!glbl.GetParserEscapeControlCharactersOnReceive(globals) ||
        glbl.GetParserEscapeControlCharactersCStyle(globals))
        return -1;
    return glbl.GetParserControlCharacterEscapePrefix(globals);
}

/* Without a parameter that says so, each action's spool lies below rsyslog's own working folder. */
static rsRetVal set_default_spool(instanceData *pData, rsconf_t *conf)
{
    const char *work = (const char *)glbl.GetWorkDir(conf);
    char *path = NULL, error[TASKLOG_ERROR_BYTES];
    DEFiRet;

    if (tasklog_config_has_spool(pData->config))
        FINALIZE;
    if (!work || !*work) /* the check has told */
        ABORT_FINALIZE(RS_RET_PARAM_ERROR);
    if (asprintf(&path, "%s/tasklog/%s", work, pData->name) < 0)
        ABORT_FINALIZE(RS_RET_OUT_OF_MEMORY);
    if (tasklog_config_set(pData->config, "spool", path, error) < 0) {
        LogError(0, RS_RET_PARAM_ERROR, "omtasklog: action \"%s\" cannot start: %s", pData->name,
                 error);
        iRet = RS_RET_PARAM_ERROR;
    }
    free(path);

finalize_it:
    RETiRet;
}

static rsRetVal start_instance(instanceData *pData, const rsconf_t *conf)
{
    const struct tasklog_hooks hooks = {.clock = {.now = tasklog_system_now,
                                                  .now_coarse = tasklog_system_now_coarse},
                                        .say = say,
                                        .uid_advice = uid_advice,
                                        .context = pData};
    char error[TASKLOG_ERROR_BYTES];
    int r;
    DEFiRet;

    CHKiRet(set_default_spool(pData, (rsconf_t *)conf));
    tasklog_config_set_escape_prefix(pData->config, escape_prefix(conf));
    r = tasklog_collector_new(pData->config, &hooks, error, &pData->collector);
    if (r < 0) {
        LogError(0, RS_RET_ERR, "omtasklog: action \"%s\" cannot start: %s", pData->name, error);
        ABORT_FINALIZE(RS_RET_ERR);
    }
    pData->config = NULL; /* it is the collector's now */
    r = tasklog_collector_start(pData->collector, error);
    if (r < 0) {
        tasklog_collector_free(pData->collector);
        pData->collector = NULL; /* the action stays suspended: its senders wait */
        LogError(0, RS_RET_ERR, "omtasklog: action \"%s\" cannot start: %s", pData->name, error);
        ABORT_FINALIZE(RS_RET_ERR);
    }
    CHKiRet(stats_add(&pData->stats, pData->name));

finalize_it:
    RETiRet;
}

BEGINactivateCnf
    int action_count = 0;
    CODESTARTactivateCnf
    tzset();
    if (instances && message_check(pModConf->pConf) != RS_RET_OK) {
        LogError(
            0, RS_RET_ERR,
            "omtasklog was built for rsyslog " PACKAGE_VERSION " as its headers were then, and "
            "messages look otherwise in this one: no action starts. Build it anew for this one");
        ABORT_FINALIZE(RS_RET_ERR);
    }
    for (const instanceData *pData = instances; pData; pData = pData->next)
        action_count++;
    if (instances)
        (void)stats_begin(action_count, read_counters);
    for (instanceData *pData = instances; pData; pData = pData->next)
        (void)start_instance(pData, pModConf->pConf); /* it has said what was wrong */
finalize_it:
ENDactivateCnf

BEGINfreeCnf
    CODESTARTfreeCnf
ENDfreeCnf

/* ---- messages ---- */

BEGINbeginTransaction
    CODESTARTbeginTransaction;
ENDbeginTransaction

BEGINcommitTransaction
    CODESTARTcommitTransaction
    const instanceData *pData = pWrkrData->pData;
    if (!pData->collector || !intake_reserve(&pWrkrData->intake, nParams))
        ABORT_FINALIZE(RS_RET_SUSPENDED);
    intake_take(&pWrkrData->intake, &pData->strings, pData->collector, pParams, nParams);

finalize_it:
ENDcommitTransaction

/* ---- the module ---- */

BEGINmodExit
    CODESTARTmodExit
    stats_close();
    message_close();
    objRelease(glbl, CORE_COMPONENT);
ENDmodExit

BEGINqueryEtryPt
    CODESTARTqueryEtryPt
    CODEqueryEtryPt_STD_OMODTX_QUERIES
    CODEqueryEtryPt_STD_OMOD8_QUERIES
    /* NOLINTNEXTLINE(bugprone-branch-clone): rsyslog's own macro */
    CODEqueryEtryPt_STD_CONF2_QUERIES
    CODEqueryEtryPt_STD_CONF2_OMOD_QUERIES
ENDqueryEtryPt

BEGINmodInit()
    CODESTARTmodInit;
    *ipIFVersProvided = CURR_MOD_IF_VERSION;
    CODEmodInit_QueryRegCFSLineHdlr CHKiRet(objUse(glbl, CORE_COMPONENT));
    CHKiRet(stats_open());
    CHKiRet(message_open(ourConf));
ENDmodInit
