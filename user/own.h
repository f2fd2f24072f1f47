/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What no list of others may name: addresses that are not of the Internet, and those that this host lives by.
 */
#ifndef GATE25_OWN_H
#define GATE25_OWN_H

#include <stdbool.h>

#include "user/config.h"
#include "user/lists/image.h"

/*
 * This host's addresses, those of its services, the gateways of its default routes, the resolvers that it asks. What
 * cannot be found out is logged once and left out. 0 or -ENOMEM.
 */
int own_addresses(const struct config *config, struct list_image **out);

/*
 * Private, loopback, link-local, multicast and reserved networks. Those for documentation and benchmarks
 * (192.0.2.0/24, 198.18.0.0/15, 2001:db8::/32, …) are not among them: nobody has them, so that they are listed hurts nobody. 0 or -ENOMEM.
 */
int own_non_global(struct list_image **out);

#endif
