/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories that a test makes for itself. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

/* Removes the directory with all that is in it; follows no link. */
void scratch_remove(const char *directory);

#endif
