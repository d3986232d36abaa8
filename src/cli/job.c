/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the job's process; see the header. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const int handed_on[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1,
                                SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCONT};

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

void job_take_signals(struct job *job)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN}, normal = {.sa_handler = SIG_DFL};

    sigemptyset(&job->taken);
    sigaddset(&job->taken, SIGCHLD);
    for (size_t i = 0; i < sizeof(handed_on) / sizeof(handed_on[0]); i++)
        sigaddset(&job->taken, handed_on[i]);
    sigprocmask(SIG_BLOCK, &job->taken, &job->old_mask);
    sigaction(SIGPIPE, &ignored, &job->old_pipe);
    sigaction(SIGCHLD, &normal,
              &job->old_child); /* were it ignored, nobody could wait for the job */
}

/* In the new process. Only calls that are safe beside threads. */
static void __attribute__((noreturn))
become(const struct job *job, char *const *arguments, int out_fd, int error_fd, int status_fd)
{
    sigaction(SIGPIPE, &job->old_pipe, NULL);
    sigaction(SIGCHLD, &job->old_child, NULL);
    if (dup2(out_fd, STDOUT_FILENO) >= 0 && dup2(error_fd, STDERR_FILENO) >= 0) {
        sigprocmask(SIG_SETMASK, &job->old_mask, NULL);
        execvp(arguments[0], arguments);
    }
    int error = errno;
    (void)!write(status_fd, &error, sizeof(error));
    _exit(EXIT_NOT_FOUND);
}

int job_start(struct job *job, char *const *arguments, int out_fd, int error_fd)
{
    int status[2], r = 0;

    job->pid = 0;
    job->start_error = 0;
    if (pipe2(status, O_CLOEXEC) < 0)
        return -errno;
    job->start_ms = cli_now_ms();
    pid_t pid = fork();
    if (pid == 0)
        become(job, arguments, out_fd, error_fd, status[1]);
    if (pid < 0)
        r = -errno;
    close(status[1]);
    if (r == 0) {
        ssize_t bytes;
        do
            bytes = read(status[0], &job->start_error, sizeof(job->start_error));
        while (bytes < 0 && errno == EINTR);
        job->pid = pid;
    }
    close(status[0]);
    return r;
}

/*
 * A signal that a key of the terminal made went to all of its foreground processes, the job among them,
 * and is not for us to repeat: many programs take a second ^C for something worse. The kernel says
 * which those are. What a process sent to a whole group comes twice; it cannot be told.
 */
static void hand_on(const struct job *job, const siginfo_t *info)
{
    if (info->si_code != SI_KERNEL)
        (void)kill(job->pid, info->si_signo);
}

static bool stops_a_group(int signal)
{
    return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

/* Something happened to the job. True if it has ended. */
static bool look(const struct job *job, struct ending *ending)
{
    siginfo_t info;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)job->pid, &info, WEXITED | WSTOPPED | WNOHANG) < 0)
            return errno != EINTR;
        if (info.si_pid == 0)
            return false;
        switch (info.si_code) {
        case CLD_EXITED:
            ending->exit_code = info.si_status;
            return true;
        case CLD_KILLED:
        case CLD_DUMPED:
            ending->signal = info.si_status;
            ending->dumped = info.si_code == CLD_DUMPED;
            return true;
        case CLD_STOPPED:
            /* As the shell's job control expects it: it sees us, not the job. */
            if (stops_a_group(info.si_status))
                (void)kill(getpid(), SIGSTOP);
            break;
        default:
            break;
        }
    }
}

void job_wait(struct job *job, struct ending *ret_ending)
{
    struct ending ending = {.exit_code = -1};

    while (!look(job, &ending)) {
        siginfo_t info;
        int signal = sigwaitinfo(&job->taken, &info);
        if (signal > 0 && signal != SIGCHLD)
            hand_on(job, &info);
    }
    ending.duration_ms = cli_now_ms() - job->start_ms;
    if (job->start_error != 0) {
        ending.start_error = job->start_error;
        ending.exit_code = job->start_error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    }
    *ret_ending = ending;
}

void job_die_alike(int signal)
{
    const struct rlimit none = {0, 0};
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t set;

    setrlimit(RLIMIT_CORE, &none); /* the core that matters is the job's */
    sigaction(signal, &normal, NULL);
    sigemptyset(&set);
    sigaddset(&set, signal);
    (void)raise(signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
