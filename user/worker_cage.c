// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker's cage.
 *
 * In: a process that was just made, perhaps by root. Out: one that can hurt nobody, whatever it reads. Each step only
 * takes away; where the kernel lacks one, the others hold.
 */
#include "user/worker_cage.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST 64

/* Address space is what the sanitizers take most of, and their own calls no filter would foresee. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---------------------------------------------------------------- who it is */

/* In memory that runs short, a worker goes first: the list that is in force stays. */
static void victim_make(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1000", 4) != 4)
		errno = 0; /* it only would have been better */
	close(fd);
}

/* While it is root still, but of the worker's group: so that nobody else can lay anything down there. */
static int directory_make(const struct worker_request *request)
{
	if (!request->directory[0])
		return 0;
	if (mkdir(request->directory, 01770) && errno != EEXIST)
		return -errno;
	/* It may have been another worker's: the user was changed, or made since. */
	if (geteuid() == 0 &&
	    (chown(request->directory, -1, getegid()) || chmod(request->directory, 01770)))
		return -errno;
	return 0;
}

static int user_become(const struct worker_request *request)
{
	int error;

	if (request->uid == (uid_t)-1 || geteuid() != 0)
		return directory_make(request);
	/* Only where the agent's unit says so; without it the set is empty all the same. */
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (setgroups(0, NULL) || setresgid(request->gid, request->gid, request->gid))
		return -errno;
	error = directory_make(request);
	if (error)
		return error;
	return setresuid(request->uid, request->uid, request->uid) ? -errno : 0;
}

static int rights_drop(void)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	/* After the change of user, which would have cleared it. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ? -errno : 0;
}

/* ---------------------------------------------------------------- how much it takes */

static int limit_lower(__rlimit_resource_t resource, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return -errno;
	if (limit.rlim_max > most)
		limit.rlim_max = most;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) ? -errno : 0;
}

static int limits_lower(const struct worker_request *request)
{
	unsigned int time_s = request->errand == WORKER_FETCH ? WORKER_FETCH_S : WORKER_PARSE_S;
	const struct {
		__rlimit_resource_t resource;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_CORE,
		  0 }, /* what was fetched, or what it was fetched with, would be in it */
		{ RLIMIT_CPU, time_s },
		{ RLIMIT_FSIZE, FETCH_BYTES + (64UL << 20) },
		{ RLIMIT_NOFILE, FILES_MOST },
		{ RLIMIT_AS, WORKER_MEMORY },
	};
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(limits) / sizeof(limits[0]) - SANITIZED; i++)
		error = limit_lower(limits[i].resource, limits[i].most);
	alarm(time_s + 5); /* should who waits for us not be able to end us */
	return error;
}

/* ---------------------------------------------------------------- what it may ask of the kernel */

/* A kernel without seccomp has no filter; it is no reason to read no lists. */
static int filter_load(scmp_filter_ctx filter)
{
	int error = seccomp_load(filter);

	seccomp_release(filter);
	return error == -EINVAL || error == -ENOSYS ? 0 : error;
}

/* Resolver and TLS libraries differ: what none of them can want is refused. */
static const int never[] = {
	SCMP_SYS(bpf),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(personality),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(reboot),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
};

static const int programs[] = { SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(kill) };

static int calls_refuse(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	return error;
}

/* A user namespace would give it capabilities again; clone3 hides its flags from filters, and everybody falls back. */
static int namespaces_refuse(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
					 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	if (!error) /* beyond netlink lie packet sockets and much that is rarely looked at */
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
					 SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	return error;
}

static int calls_filter(bool runs)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int error;

	if (!filter)
		return -ENOMEM;
	error = calls_refuse(filter, never, sizeof(never) / sizeof(never[0]));
	if (!error && !runs)
		error = calls_refuse(filter, programs, sizeof(programs) / sizeof(programs[0]));
	if (!error)
		error = namespaces_refuse(filter);
	if (!error)
		return filter_load(filter);
	seccomp_release(filter);
	return error;
}

int cage_enter(const struct worker_request *request, bool runs)
{
	int error;

	victim_make();
	error = user_become(request);
	if (!error)
		error = rights_drop();
	if (!error)
		error = limits_lower(request);
	return error ? error : calls_filter(runs);
}

/* ---------------------------------------------------------------- nothing but memory */

static const int memory_only[] = {
	SCMP_SYS(read),		  SCMP_SYS(pread64),	  SCMP_SYS(readv),
	SCMP_SYS(write),	  SCMP_SYS(pwrite64),	  SCMP_SYS(writev),
	SCMP_SYS(close),	  SCMP_SYS(lseek),	  SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),	  SCMP_SYS(statx),	  SCMP_SYS(mmap),
	SCMP_SYS(munmap),	  SCMP_SYS(mremap),	  SCMP_SYS(mprotect),
	SCMP_SYS(madvise),	  SCMP_SYS(brk),	  SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),	  SCMP_SYS(fcntl),	  SCMP_SYS(fsync),
	SCMP_SYS(sendmsg),	  SCMP_SYS(sendto),	  SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),  SCMP_SYS(sysinfo), /* qsort() of Debian 12 asks how much memory there is */
	SCMP_SYS(gettimeofday),	  SCMP_SYS(time),	  SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),	  SCMP_SYS(gettid),	  SCMP_SYS(tgkill),
	SCMP_SYS(pause),	  SCMP_SYS(sched_yield),  SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),		  SCMP_SYS(exit_group),
};

int cage_close(void)
{
	scmp_filter_ctx filter;
	int error = 0;

	if (SANITIZED)
		return 0;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; !error && i < sizeof(memory_only) / sizeof(memory_only[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, memory_only[i], 0);
	if (!error)
		return filter_load(filter);
	seccomp_release(filter);
	return error;
}
