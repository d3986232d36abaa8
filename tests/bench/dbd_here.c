/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: libdbi, which syslog-ng's sql() uses, looks for its drivers where DBD_FOLDER says, for they
 * are unpacked there and not installed. */
#include <dlfcn.h>
#include <stdlib.h>

__attribute__((visibility("default"))) int dbi_initialize_r(const char *folder, void **instance);

int dbi_initialize_r(const char *folder, void **instance)
{
    int (*theirs)(const char *, void **) =
        (int (*)(const char *, void **))dlsym(RTLD_NEXT, "dbi_initialize_r");
    const char *ours = getenv("DBD_FOLDER");

    return theirs(ours ? ours : folder, instance);
}
