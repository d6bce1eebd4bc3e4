/* Loaded into a program before it starts (LD_PRELOAD): lists the calls by which it changes files below a folder, and makes one
 * of them fail, or ends the program there.
 *
 * The kernel itself stops the program at these calls (a seccomp filter that answers by SIGSYS), since not all of them go
 * through the C library: rustix makes its own. The handler looks at the arguments, and makes the call by the one instruction that
 * the filter lets through.
 *
 *   FAULTS_ROOT   the folder, its links resolved; calls on other files pass
 *   FAULTS_LOG    gets a line `KIND PATH` for each call, the path below the root, with `*` for what is random in it
 *   FAULTS_POINT  such a line: the call to fail ...
 *   FAULTS_TURN   ... at which time, counted from 1
 *   FAULTS_ERROR  the number of the error; 0 kills, in the midst of what a write writes
 *   FAULTS_STAYS  1 if all later calls that need space fail too, as on a full disk
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "for Linux on x86-64"
#endif

enum { MOST = 4096, LOG_FD = 900 };

long faults_call(long number, long a, long b, long c, long d, long e, long f);
extern const char faults_after[];
/* The only place from which the calls pass. */
__asm__(".text\n"
        ".globl faults_call\n"
        "faults_call:\n"
        "  mov %rdi, %rax\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n  mov %r8, %r10\n  mov %r9, %r8\n"
        "  mov 8(%rsp), %r9\n"
        "  syscall\n"
        ".globl faults_after\n"
        "faults_after:\n"
        "  ret\n");

static const char *root, *point;
static size_t root_len;
static int error_number, stays;
static long turn, seen;
static int is_full;

/* Which calls, what they are called, and where their path is: in an argument, behind a folder's descriptor or not, or that of an
 * open file. */
enum where { PATH, PATH_AT, FD };
static const struct call {
    int number;
    const char *kind;
    enum where where;
    int arg;
    int needs_space;
} CALLS[] = {
    {SYS_open, "open", PATH, 0, 1},          {SYS_creat, "open", PATH, 0, 1},
    {SYS_openat, "open", PATH_AT, 0, 1},     {SYS_write, "write", FD, 0, 1},
    {SYS_pwrite64, "write", FD, 0, 1},       {SYS_writev, "write", FD, 0, 1},
    {SYS_pwritev, "write", FD, 0, 1},        {SYS_pwritev2, "write", FD, 0, 1},
    {SYS_sendfile, "write", FD, 0, 1},       {SYS_copy_file_range, "write", FD, 2, 1},
    {SYS_ftruncate, "truncate", FD, 0, 0},   {SYS_truncate, "truncate", PATH, 0, 0},
    {SYS_fallocate, "allocate", FD, 0, 1},   {SYS_fsync, "sync", FD, 0, 0},
    {SYS_fdatasync, "sync", FD, 0, 0},       {SYS_rename, "rename", PATH, 1, 1},
    {SYS_renameat, "rename", PATH_AT, 2, 1}, {SYS_renameat2, "rename", PATH_AT, 2, 1},
    {SYS_unlink, "unlink", PATH, 0, 0},      {SYS_unlinkat, "unlink", PATH_AT, 0, 0},
    {SYS_rmdir, "rmdir", PATH, 0, 0},        {SYS_mkdir, "mkdir", PATH, 0, 1},
    {SYS_mkdirat, "mkdir", PATH_AT, 0, 1},   {SYS_link, "link", PATH, 1, 1},
    {SYS_linkat, "link", PATH_AT, 2, 1},     {SYS_symlink, "symlink", PATH, 1, 1},
    {SYS_symlinkat, "symlink", PATH_AT, 1, 1}, {SYS_chmod, "chmod", PATH, 0, 0},
    {SYS_fchmod, "chmod", FD, 0, 0},         {SYS_fchmodat, "chmod", PATH_AT, 0, 0},
};
enum { COUNT = sizeof CALLS / sizeof CALLS[0] };

/* What a link of /proc says; the length, or 0. */
static size_t read_link(const char *link, char *to) {
    long len = faults_call(SYS_readlink, (long)link, (long)to, MOST - 1, 0, 0, 0);
    if (len < 0) len = 0;
    to[len] = 0;
    return (size_t)len;
}

/* Only the lower half of an argument is the descriptor. */
static size_t path_of_fd(int fd, char *to) {
    char link[40] = "/proc/self/fd/", digits[12];
    int count = 0;
    if (fd == AT_FDCWD) return read_link("/proc/self/cwd", to);
    if (fd < 0) return 0;
    do digits[count++] = (char)('0' + fd % 10);
    while ((fd /= 10) > 0);
    size_t len = strlen(link);
    while (count > 0) link[len++] = digits[--count];
    link[len] = 0;
    return read_link(link, to);
}

/* The path of a call, absolute; 0 if it has none. */
static size_t path_of(const struct call *call, const long *args, char *to) {
    if (call->where == FD) return path_of_fd((int)args[call->arg], to);
    int at = call->where == PATH_AT;
    const char *path = (const char *)args[call->arg + at];
    size_t len = 0, rest;
    if (!path) return 0;
    if (path[0] != '/') {
        len = path_of_fd(at ? (int)args[call->arg] : AT_FDCWD, to);
        to[len++] = '/';
        while (path[0] == '.' && path[1] == '/') path += 2;
    }
    rest = strlen(path);
    if (len + rest >= MOST) return 0;
    memcpy(to + len, path, rest + 1);
    return len + rest;
}

static int starts(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* Copies a path with `*` for the six characters of `.NAME.XXXXXX.partial`, and for time and process of an event file. */
static void without_chance(const char *path, char *to) {
    while (*path) {
        if (path[0] == '.' && strlen(path) >= 7 && starts(path + 7, ".partial") && !memchr(path + 1, '/', 6)) {
            *to++ = '.';
            *to++ = '*';
            path += 7;
        } else if (starts(path, "tfevents.")) {
            memcpy(to, "tfevents.*", 10);
            to += 10;
            while (*path && *path != '/') path++;
        } else {
            *to++ = *path++;
        }
    }
    *to = 0;
}

/* The line of a call; 0 if it is none of a file below the root. */
static size_t line_of(const struct call *call, const long *args, char *line) {
    char path[2 * MOST];
    size_t len = path_of(call, args, path);
    if (len <= root_len || memcmp(path, root, root_len) != 0 || path[root_len] != '/') return 0;
    size_t kind = strlen(call->kind);
    memcpy(line, call->kind, kind);
    line[kind] = ' ';
    without_chance(path + root_len + 1, line + kind + 1);
    return strlen(line);
}

static void die(const struct call *call, const long *args) {
    int writes = call->number == SYS_write || call->number == SYS_pwrite64;
    if (writes) faults_call(call->number, args[0], args[1], args[2] / 2, args[3], 0, 0);
    faults_call(SYS_kill, faults_call(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
    for (;;) faults_call(SYS_pause, 0, 0, 0, 0, 0, 0);
}

static long answer(long number, const long *args) {
    const struct call *call = CALLS;
    while (call < CALLS + COUNT && call->number != number) call++;
    char line[2 * MOST + 64];
    size_t len = call < CALLS + COUNT ? line_of(call, args, line) : 0;
    if (len > 0) {
        int hit = point && strcmp(line, point) == 0 && __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == turn;
        line[len] = '\n';
        faults_call(SYS_write, LOG_FD, (long)line, (long)len + 1, 0, 0, 0);
        if (hit) {
            faults_call(SYS_write, LOG_FD, (long)"HIT\n", 4, 0, 0, 0);
            if (error_number == 0) die(call, args);
            if (stays) __atomic_store_n(&is_full, 1, __ATOMIC_SEQ_CST);
            return -error_number;
        }
        if (call->needs_space && __atomic_load_n(&is_full, __ATOMIC_SEQ_CST)) return -error_number;
    }
    return faults_call(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

static void on_call(int signal, siginfo_t *info, void *context) {
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    long args[6] = {regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_R9]};
    (void)signal;
    regs[REG_RAX] = answer(info->si_syscall, args);
}

#define DATA(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define PASS BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Asks the kernel to stop at the calls. Opening for reading passes: loaders of libraries need it before there is a handler. */
static int filter(void) {
    unsigned long here = (unsigned long)faults_after;
    struct sock_filter head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)here, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(here >> 32), 0, 1),
        PASS,
        DATA(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 2, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_STMT(BPF_JMP | BPF_JA, 1),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        PASS,
    };
    /* The jump of `open` above that is no open leads to the calls behind the head. */
    enum { HEAD = sizeof head / sizeof head[0] };
    struct sock_filter code[HEAD + 2 * COUNT + 1];
    size_t len = HEAD;
    head[7].jf = HEAD - 8;
    memcpy(code, head, sizeof head);
    for (int i = 0; i < COUNT; i++) {
        if (CALLS[i].number == SYS_open || CALLS[i].number == SYS_openat) continue;
        code[len++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)CALLS[i].number, 0, 1);
        code[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    code[len++] = (struct sock_filter)PASS;
    struct sock_fprog program = {.len = (unsigned short)len, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    root = getenv("FAULTS_ROOT");
    if (!root) return;
    root_len = strlen(root);
    point = getenv("FAULTS_POINT");
    turn = atol(variable("FAULTS_TURN"));
    error_number = atoi(variable("FAULTS_ERROR"));
    stays = atoi(variable("FAULTS_STAYS"));
    int log = open(variable("FAULTS_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0 || dup3(log, LOG_FD, O_CLOEXEC) < 0) _exit(97);
    close(log);
    if (sigaction(SIGSYS, &action, 0) || filter()) _exit(98);
}
