/* A library that acts before the program that it is loaded into begins. */
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void begin(void)
{
	close(open("mark", O_CREAT | O_WRONLY, 0600));
}
