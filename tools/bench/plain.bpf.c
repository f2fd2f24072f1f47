// SPDX-License-Identifier: GPL-2.0-only
/*
 * The measures: a program that only drops, and one that only passes.
 *
 * What passes goes on into the kernel's stack, which costs several times what any program does and would hide it.
 * So a wrapper calls the program that is to be measured and drops the frame whatever it answered. Here `inner` is the
 * program that only passes; in wrapped.bpf.c it is gate25.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp.frags")
int drop_all(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

/* The compiler must not look inside: neither its answer nor that it does nothing. */
__attribute__((noinline, weak)) int inner(struct xdp_md *ctx)
{
	int verdict = ctx ? XDP_PASS : XDP_ABORTED;

	asm volatile("" : "+r"(verdict));
	return verdict;
}

SEC("xdp.frags")
int wrapper(struct xdp_md *ctx)
{
	int verdict = inner(ctx);

	asm volatile("" : "+r"(verdict));
	return XDP_DROP;
}
