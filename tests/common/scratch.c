// SPDX-License-Identifier: GPL-2.0-only
#include "tests/common/scratch.h"

#include <ftw.h>
#include <stdio.h>

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
	(void)status, (void)flag, (void)ftw;
	return remove(path);
}

void scratch_remove(const char *directory)
{
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
