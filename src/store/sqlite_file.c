/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database file as the operating system sees it. SQLite has one sentence for an absent file, a
 * wrong owner and a folder that takes no journal; the difference is told here, before SQLite tries.
 * It reads no database and changes nothing.
 */
#include "sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { USER_BYTES = 64, ACCOUNT_BYTES = 4096 };

static const char *user_name(uid_t uid, char text[USER_BYTES])
{
    char room[ACCOUNT_BYTES];
    struct passwd account;
    struct passwd *found = NULL;

    if (getpwuid_r(uid, &account, room, sizeof room, &found) == 0 && found != NULL)
        snprintf(text, USER_BYTES, "%s", found->pw_name);
    else
        snprintf(text, USER_BYTES, "%lu", (unsigned long)uid);
    return text;
}

static const char *group_name(gid_t gid, char text[USER_BYTES])
{
    char room[ACCOUNT_BYTES];
    struct group account;
    struct group *found = NULL;

    if (getgrgid_r(gid, &account, room, sizeof room, &found) == 0 && found != NULL)
        snprintf(text, USER_BYTES, "%s", found->gr_name);
    else
        snprintf(text, USER_BYTES, "%lu", (unsigned long)gid);
    return text;
}

static int refuse_access(struct sqlite *lite, const char *what, const char *path,
                         const struct stat *is, const char *why)
{
    const char *reason = strerror(errno); /* before the look-ups below set it */
    char user[USER_BYTES];
    char owner[USER_BYTES];
    char group[USER_BYTES];

    return store_fail(&lite->base, -EINVAL,
                      "%s \"%s\" cannot be written by user \"%s\"%s (%s; owner \"%s\", group "
                      "\"%s\", mode %04o): let that user or its group write it",
                      what, path, user_name(geteuid(), user), why, reason,
                      user_name(is->st_uid, owner), group_name(is->st_gid, group),
                      (unsigned)is->st_mode & 07777);
}

static int check_folder(struct sqlite *lite)
{
    char *folder = strdup(lite->path);
    struct stat is;
    int r = 0;

    if (folder == NULL)
        return store_fail(&lite->base, -EAGAIN, "out of memory");
    strrchr(folder, '/')[1] = '\0';
    if (stat(folder, &is) == 0 && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0) {
        char why[STORE_NAME_BYTES];

        snprintf(why, sizeof why, ", and SQLite has to put the journal of \"%s\" there",
                 strrchr(lite->path, '/') + 1);
        r = refuse_access(lite, "folder", folder, &is, why);
    }
    free(folder);
    return r;
}

int sqlite_check_file(struct sqlite *lite)
{
    struct stat is;

    if (stat(lite->path, &is) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return store_fail(
                &lite->base, -EINVAL,
                "SQLite database \"%s\" does not exist, and is never created; make it "
                "with its table, or correct parameter \"database\"",
                lite->path);
        return store_fail(&lite->base, errno == EACCES ? -EINVAL : -EAGAIN,
                          "SQLite database \"%s\" cannot be reached: %s%s", lite->path,
                          strerror(errno),
                          errno == EACCES ? "; let this user enter its folders" : "");
    }
    if (!S_ISREG(is.st_mode))
        return store_fail(
            &lite->base, -EINVAL,
            "SQLite database \"%s\" is not a regular file; correct parameter \"database\"",
            lite->path);
    if (faccessat(AT_FDCWD, lite->path, R_OK | W_OK, AT_EACCESS) != 0)
        return refuse_access(lite, "SQLite database", lite->path, &is, "");
    return check_folder(lite);
}

/*
 * A backup may be restored while the file is open: another file is moved to its name, or it is written
 * over in place and its write-ahead log is removed. Either way, what is written through the open
 * handle goes where nobody will ever look. The log is told by its inode alone, as it never leaves the
 * side of the file, and while we have the file open nobody but such a restore removes it. One that was
 * not there before is that of another process, which has put the file into this journal mode: SQLite
 * takes that up by itself.
 */
static int read_identity(const struct sqlite *lite, struct sqlite_identity *ret_identity)
{
    char *wal_path = sqlite3_mprintf("%s-wal", lite->path);
    struct stat is = {0};
    struct stat wal = {0};
    int r = wal_path != NULL ? stat(lite->path, &is) : -1;

    if (r == 0 && stat(wal_path, &wal) != 0)
        wal.st_ino = 0;
    sqlite3_free(wal_path);
    *ret_identity = (struct sqlite_identity){is.st_dev, is.st_ino, wal.st_ino};
    return r;
}

/* SQLite knows, of its own handle, whether the name has been given to another file since. */
int sqlite_identify(struct sqlite *lite)
{
    int moved = 0;

    if (read_identity(lite, &lite->identity) != 0 ||
        sqlite3_file_control(lite->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
        moved != 0)
        return store_fail(&lite->base, -EAGAIN, "the file was replaced while it was opened");
    return 0;
}

bool sqlite_is_replaced(struct sqlite *lite)
{
    struct sqlite_identity now;

    if (read_identity(lite, &now) != 0 || now.device != lite->identity.device ||
        now.inode != lite->identity.inode)
        return true;
    if (lite->identity.wal_inode == 0)
        lite->identity.wal_inode = now.wal_inode;
    return now.wal_inode != lite->identity.wal_inode;
}
