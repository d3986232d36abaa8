/* SPDX-License-Identifier: Apache-2.0 */
/* The actions' counters as rsyslog's statistics; see the header. State is changed by the main thread only. */
#include "config.h"

#include "stats.h"

#include "errmsg.h"
#include "obj.h"

DEFobjStaticHelpers;
DEFobjCurrIf(statsobj);

static statsobj_t *module_object;
static int actions; /* as a counter */
static void (*read_actions)(void);

static void read_module(statsobj_t *object, void *context)
{
    (void)object;
    (void)context;
    read_actions();
}

rsRetVal stats_begin(int action_count, void (*read_all)(void))
{
    DEFiRet;

    actions = action_count;
    read_actions = read_all;
    CHKiRet(statsobj.Construct(&module_object));
    CHKiRet(statsobj.SetName(module_object, (uchar *)"omtasklog"));
    CHKiRet(statsobj.SetOrigin(module_object, (uchar *)"omtasklog"));
    CHKiRet(statsobj.SetReadNotifier(module_object, read_module, NULL));
    CHKiRet(statsobj.AddCounter(module_object, (const uchar *)"actions", ctrType_Int, CTR_FLAG_NONE,
                                &actions));
    CHKiRet(statsobj.ConstructFinalize(module_object));

finalize_it:
    RETiRet;
}

rsRetVal stats_add(struct stats *stats, const char *name)
{
    struct tasklog_counters *counters = &stats->counters;
    const struct {
        const char *name;
        uint64_t *counter;
    } all[] = {
        {"lines", &counters->lines},
        {"lines.altered", &counters->altered},
        {"lines.late", &counters->late},
        {"lines.below_level", &counters->below_level},
        {"lines.not_task", &counters->not_task},
        {"lines.missing", &counters->missing},
        {"lines.redelivered", &counters->redelivered},
        {"lines.untrusted", &counters->untrusted},
        {"lines.foreign", &counters->foreign},
        {"lines.over_tasks", &counters->over_tasks},
        {"lines.over_rate", &counters->over_rate},
        {"control", &counters->control},
        {"control.unreadable", &counters->control_unreadable},
        {"tasks.started", &counters->tasks_started},
        {"tasks.marker", &counters->ended_marker},
        {"tasks.idle", &counters->ended_idle},
        {"tasks.max_runtime", &counters->ended_max_runtime},
        {"tasks.restarted", &counters->ended_restarted},
        {"tasks.died", &counters->ended_died},
        {"tasks.open", &counters->open_tasks},
        {"rows.stored", &counters->rows_stored},
        {"rows.live", &counters->rows_live},
        {"rows.refused", &counters->rows_refused},
        {"rows.waiting", &counters->waiting_rows},
        {"rows.oldest_ms", &counters->oldest_ms},
        {"database.batches", &counters->batches},
        {"database.retries", &counters->retries},
        {"database.write_ms", &counters->write_ms},
        {"database.write_ms_max", &counters->write_ms_max},
        {"memory.bytes", &counters->memory_bytes},
        {"spool.bytes", &counters->spool_bytes},
        {"spool.letters", &counters->letters},
        {"spool.unspooled", &counters->unspooled},
    };
    DEFiRet;

    CHKiRet(statsobj.Construct(&stats->object));
    CHKiRet(statsobj.SetName(stats->object, (uchar *)name));
    CHKiRet(statsobj.SetOrigin(stats->object, (uchar *)"omtasklog"));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        CHKiRet(statsobj.AddCounter(stats->object, (const uchar *)all[i].name, ctrType_IntCtr,
                                    CTR_FLAG_NONE, all[i].counter));
    CHKiRet(statsobj.ConstructFinalize(stats->object));

finalize_it:
    RETiRet;
}

void stats_remove(struct stats *stats)
{
    if (stats->object)
        statsobj.Destruct(&stats->object);
}

rsRetVal stats_open(void)
{
    DEFiRet;

    CHKiRet(objGetObjInterface(&obj));
    CHKiRet(objUse(statsobj, CORE_COMPONENT));

finalize_it:
    RETiRet;
}

void stats_close(void)
{
    if (module_object)
        statsobj.Destruct(&module_object);
    objRelease(statsobj, CORE_COMPONENT);
}
