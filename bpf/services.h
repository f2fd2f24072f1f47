/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which service is spoken to. In: destination port and address. Out: the service's slot.
 */
#ifndef GATE25_SERVICES_H
#define GATE25_SERVICES_H

#include "table.h"
#include "visit.h"

/*
 * The number of the lowest bit of eight, by a de Bruijn sequence of three bits (0x17): BPF has no
 * instruction for it, and branches would be followed by the verifier.
 */
static __always_inline __u32 lowest_slot(__u32 mask)
{
	__u32 place = (mask & -mask) * 0x17 >> 5 & 7;

	return 0x56374210 >> 4 * place & 7;
}

/*
 * Bits of the services that name this address as their own. Arithmetic: a branch for each would be
 * too much to verify.
 */
static __always_inline __u32 own_services(const struct gate25_source *address)
{
	__u64 own = 0;

	for (__u32 i = 0; i < GATE25_ADDRESSES; i++) {
		const volatile struct gate25_service_address *entry = &settings.addresses[i];
		__u32 length = entry->length;
		__u64 differs = entry->address.family ^ address->family;

		if (i >= settings.addresses_count)
			break;
		if (entry->address.family == 4) {
			differs |= (entry->address.lo ^ address->lo) & mask_upper(length + 32);
		} else {
			differs |= (entry->address.hi ^ address->hi) &
				   mask_upper(length < 64 ? length : 64);
			differs |= (entry->address.lo ^ address->lo) &
				   mask_upper(length > 64 ? length - 64 : 0);
		}
		own |= table_zero(differs) * entry->services;
	}
	return own;
}

/*
 * Bits of the services at a port. The mask is for verifiers that forget a number's bounds when its
 * bytes are turned around (6.1); the compiler, which does not, must not see through to it.
 */
static __always_inline __u32 services_at(__u32 port)
{
	OPAQUE(port);
	return port_services[port & 0xffff];
}

/* Of the services at a port, those that guard the address. Own beats any. */
__noinline int services_choose(const struct gate25_source *destination, __u32 mask)
{
	__u32 own = destination ? mask & own_services(destination) : 0;

	return own ? own : mask & settings.any_address;
}

/* The slot of the service that guards port and address, or GATE25_NO_SERVICE. */
static __always_inline __u32 service_find(const struct packet *packet)
{
	__u32 mask = services_at(packet->destination_port);

	if (!mask)
		return GATE25_NO_SERVICE; /* most of a machine's TCP */
	mask = settings.addresses_count ? services_choose(&packet->destination, mask) :
					  mask & settings.any_address;
	return mask ? lowest_slot(mask) : GATE25_NO_SERVICE;
}

#endif
