// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shipped program inside of a wrapper that drops the frame whatever the program answers; plain.bpf.c says why.
 *
 * Its source is compiled here once more, by the same compiler with the same flags; only its entry is made a global
 * function, `inner`, which the wrapper calls. (freplace would do it with the very same object, but not every kernel
 * lets programs be replaced.)
 */
#define ingress(argument)                                                                          \
	ingress_elsewhere(void);                                                                   \
	__attribute__((noinline)) int inner(argument)

#include "bpf/ingress.bpf.c"

#undef ingress

SEC("xdp.frags")
int wrapper(struct xdp_md *ctx)
{
	int verdict = inner(ctx);

	asm volatile("" : "+r"(verdict));
	return XDP_DROP;
}
