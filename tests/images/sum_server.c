#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Keeps a sum: "add N" adds, "get" asks; both are answered with it. Each "add" is a line of the log. */
int main(int argc, char **argv)
{
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	FILE *log = fopen(argv[2], "a");
	long sum = 0;

	(void)argc;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!log || bind(listener, (void *)&any, sizeof any) || listen(listener, 8))
		return 1;
	for (;;) {
		char line[64] = "", answer[32];
		int one = accept(listener, NULL, NULL);
		long n;

		if (read(one, line, sizeof line - 1) > 0 && sscanf(line, "add %ld", &n) == 1) {
			sum += n;
			fputs(line, log);
			fflush(log);
		}
		snprintf(answer, sizeof answer, "%ld\n", sum);
		if (write(one, answer, strlen(answer)) < 0)
			return 1;
		close(one);
	}
}
