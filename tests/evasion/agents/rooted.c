/* Belongs to root and has the set-user-id bit: makes "mark" where that gave it root's power. */
#include <fcntl.h>
#include <unistd.h>

int main(void)
{
	if (geteuid() != 0)
		return 1;
	return open("mark", O_CREAT | O_WRONLY, 0600) < 0;
}
