/* The programs for kernels without bpf_rdonly_cast: another object of record.bpf.c, so its skeleton is the same. */
#include <linux/types.h>

#include "record.h"
#include "older.skel.h"

struct record_bpf *open_older(void);

struct record_bpf *open_older(void)
{
	return record_bpf__open();
}
