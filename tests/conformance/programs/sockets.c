/* Sockets, messages, and questions to name servers. */
#include "conform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ADDRESS(a) ((struct sockaddr *)&(a)), sizeof(a)

static struct sockaddr_in v4(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static struct sockaddr_in6 v6(int port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	a.sin6_addr = in6addr_loopback;
	return a;
}

static struct sockaddr_un local(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, name);
	return a;
}

static int new(int family, int type) { return DO(syscall(SYS_socket, family, type, 0)); }

CASE(socket_)
{
	new(AF_INET, SOCK_STREAM);
	new(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC);
	new(AF_UNIX, SOCK_STREAM);
	new(AF_NETLINK, SOCK_RAW);
}
CASE(socket_fails) { FAILS(syscall(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_UDP), EPERM); }
CASE(bind_listen_accept)
{
	struct sockaddr_in a = v4(4001);
	int server = new(AF_INET, SOCK_STREAM), client = new(AF_INET, SOCK_STREAM);
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, client, ADDRESS(a)));
	DO(syscall(SYS_accept, server, NULL, NULL));
}
CASE(accept4_with_address)
{
	struct sockaddr_in6 a = v6(4002), peer;
	socklen_t length = sizeof(peer);
	int server = new(AF_INET6, SOCK_STREAM), client = new(AF_INET6, SOCK_STREAM);
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, client, ADDRESS(a)));
	DO(syscall(SYS_accept4, server, &peer, &length, SOCK_CLOEXEC));
}
CASE(accept_fails)
{
	int server = new(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	struct sockaddr_in a = v4(4003);
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	FAILS(syscall(SYS_accept, server, NULL, NULL), EAGAIN);
}
CASE(listen_)
{
	struct sockaddr_in a = v4(4007);
	int server = new(AF_INET, SOCK_STREAM);
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_listen, server, 5));
}
CASE(bind_fails)
{
	struct sockaddr_in a = v4(4004);
	DO(syscall(SYS_bind, new(AF_INET, SOCK_DGRAM), ADDRESS(a)));
	FAILS(syscall(SYS_bind, new(AF_INET, SOCK_DGRAM), ADDRESS(a)), EADDRINUSE);
}
CASE(connect_fails)
{
	struct sockaddr_in a = v4(9);
	struct sockaddr_in6 b = v6(9);
	FAILS(syscall(SYS_connect, new(AF_INET, SOCK_STREAM), ADDRESS(a)), ECONNREFUSED);
	FAILS(syscall(SYS_connect, new(AF_INET6, SOCK_STREAM), ADDRESS(b)), ECONNREFUSED);
}
CASE(connect_out)
{
	struct sockaddr_in a = v4(443);
	a.sin_addr.s_addr = inet_addr("192.0.2.1");
	REFUSED(syscall(SYS_connect, new(AF_INET, SOCK_STREAM), ADDRESS(a)));
}
CASE(connect_udp)
{
	struct sockaddr_in a = v4(4005);
	int udp = new(AF_INET, SOCK_DGRAM);
	DO(syscall(SYS_connect, udp, ADDRESS(a)));
	/* It goes where connect said: no event of its own. */
	DO(syscall(SYS_sendto, udp, "x", 1, 0, NULL, 0));
}
CASE(connect_mapped)
{
	struct sockaddr_in6 a = v6(4006);
	DO(inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr));
	DO(syscall(SYS_connect, new(AF_INET6, SOCK_DGRAM), ADDRESS(a)));
}
CASE(unix_path)
{
	struct sockaddr_un a = local("sock"), linked = local("socklink");
	int server = new(AF_UNIX, SOCK_STREAM);
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 2));
	DO(syscall(SYS_symlink, "sock", "socklink"));
	DO(syscall(SYS_connect, new(AF_UNIX, SOCK_STREAM), ADDRESS(a)));
	DO(syscall(SYS_connect, new(AF_UNIX, SOCK_STREAM), ADDRESS(linked)));
	DO(syscall(SYS_accept, server, NULL, NULL));
}
CASE(unix_path_fails)
{
	struct sockaddr_un a = local("missing"), b = local("file");
	FAILS(syscall(SYS_connect, new(AF_UNIX, SOCK_STREAM), ADDRESS(a)), ENOENT);
	FAILS(syscall(SYS_bind, new(AF_UNIX, SOCK_STREAM), ADDRESS(b)), EADDRINUSE);
}
CASE(unix_abstract)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0hidden"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 7;
	int server = new(AF_UNIX, SOCK_STREAM);
	DO(syscall(SYS_bind, server, &a, length));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, new(AF_UNIX, SOCK_STREAM), &a, length));
}

static struct msghdr message(void *to, size_t length, struct iovec *part)
{
	return (struct msghdr){.msg_name = to, .msg_namelen = length, .msg_iov = part, .msg_iovlen = 1};
}
CASE(sendto_)
{
	struct sockaddr_in a = v4(4010);
	struct sockaddr_in6 b = v6(4010);
	DO(syscall(SYS_sendto, new(AF_INET, SOCK_DGRAM), "x", 1, 0, ADDRESS(a)));
	DO(syscall(SYS_sendto, new(AF_INET6, SOCK_DGRAM), "x", 1, 0, ADDRESS(b)));
}
CASE(sendto_out)
{
	struct sockaddr_in a = v4(4010);
	a.sin_addr.s_addr = inet_addr("192.0.2.1");
	REFUSED(syscall(SYS_sendto, new(AF_INET, SOCK_DGRAM), "x", 1, 0, ADDRESS(a)));
}
CASE(sendto_unix)
{
	struct sockaddr_un a = local("sock");
	DO(syscall(SYS_bind, new(AF_UNIX, SOCK_DGRAM), ADDRESS(a)));
	DO(syscall(SYS_sendto, new(AF_UNIX, SOCK_DGRAM), "x", 1, 0, ADDRESS(a)));
}
CASE(sendmsg_)
{
	struct sockaddr_in a = v4(4011);
	struct iovec part = {"x", 1};
	struct msghdr m = message(ADDRESS(a), &part);
	DO(syscall(SYS_sendmsg, new(AF_INET, SOCK_DGRAM), &m, 0));
}
CASE(sendmmsg_)
{
	struct sockaddr_in a = v4(4012), b = v4(4013);
	struct iovec part = {"x", 1};
	struct mmsghdr m[] = {{message(ADDRESS(a), &part), 0}, {message(ADDRESS(b), &part), 0}};
	if (DO(syscall(SYS_sendmmsg, new(AF_INET, SOCK_DGRAM), m, 2, 0)) != 2)
		_exit(1);
}
/* What comes after a message that fails is not tried; what failed is not told. */
CASE(sendmmsg_second_fails)
{
	struct sockaddr_in a = v4(4012), b = v4(53), c = v4(4013);
	b.sin_addr.s_addr = inet_addr("192.0.2.1");
	struct iovec part = {"x", 1};
	struct mmsghdr m[] = {{message(ADDRESS(a), &part), 0}, {message(ADDRESS(b), &part), 0}, {message(ADDRESS(c), &part), 0}};
	if (DO(syscall(SYS_sendmmsg, new(AF_INET, SOCK_DGRAM), m, 3, 0)) != 1)
		_exit(1);
}
CASE(sendmmsg_second_refused)
{
	struct sockaddr_in a = v4(4012), b = v4(4014);
	struct iovec part = {"x", 1}, bad = {"x", -1};
	struct mmsghdr m[] = {{message(ADDRESS(a), &part), 0}, {message(ADDRESS(b), &bad), 0}};
	if (DO(syscall(SYS_sendmmsg, new(AF_INET, SOCK_DGRAM), m, 2, 0)) != 1)
		_exit(1);
}
CASE(sendmmsg_of_none)
{
	struct sockaddr_in a = v4(4012);
	struct iovec part = {"x", 1};
	struct mmsghdr m = {message(ADDRESS(a), &part), 0};
	DO(syscall(SYS_sendmmsg, new(AF_INET, SOCK_DGRAM), &m, 0, 0));
}
/* From a socket of IPv4 it goes to an address of no family as well. */
CASE(sendto_no_family)
{
	struct sockaddr_in a = v4(4015);
	a.sin_family = AF_UNSPEC;
	syscall(SYS_sendto, new(AF_INET, SOCK_DGRAM), "x", 1, 0, ADDRESS(a));
}

/* ---- questions ---- */

/* A question for the address of a name, which must have two labels; its length. */
static size_t question(unsigned char *to, const char *first, const char *second)
{
	static const unsigned char head[12] = {0, 7, 1, 0, 0, 1};
	memcpy(to, head, sizeof(head));
	size_t n = sizeof(head);
	for (const char *label = first; label; label = label == first ? second : NULL) {
		to[n++] = strlen(label);
		memcpy(to + n, label, strlen(label));
		n += strlen(label);
	}
	memcpy(to + n, "\0\0\1\0\1", 5);
	return n + 5;
}

CASE(dns_sendto)
{
	struct sockaddr_in a = v4(53);
	unsigned char text[512];
	int udp = new(AF_INET, SOCK_DGRAM);
	DO(syscall(SYS_sendto, udp, text, question(text, "sendto", "example"), 0, ADDRESS(a)));
	DO(syscall(SYS_sendto, udp, "no question", 11, 0, ADDRESS(a)));
}
static int resolver(void)
{
	struct sockaddr_in a = v4(53);
	int udp = new(AF_INET, SOCK_DGRAM);
	DO(syscall(SYS_connect, udp, ADDRESS(a)));
	return udp;
}
CASE(dns_send_connected)
{
	unsigned char text[512];
	size_t n = question(text, "send", "example");
	DO(syscall(SYS_sendto, resolver(), text, n, 0, NULL, 0));
}
CASE(dns_sendmsg)
{
	unsigned char text[512];
	struct sockaddr_in a = v4(53);
	struct iovec part = {text, question(text, "sendmsg", "example")};
	struct msghdr m = message(ADDRESS(a), &part);
	DO(syscall(SYS_sendmsg, new(AF_INET, SOCK_DGRAM), &m, 0));
}
CASE(dns_sendmmsg)
{
	unsigned char one[512], two[512];
	struct iovec parts[] = {{one, question(one, "one", "example")}, {two, question(two, "two", "example")}};
	struct sockaddr_in a = v4(53);
	struct mmsghdr m[] = {{message(ADDRESS(a), parts), 0}, {message(ADDRESS(a), parts + 1), 0}};
	DO(syscall(SYS_sendmmsg, new(AF_INET, SOCK_DGRAM), m, 2, 0));
}
CASE(dns_write)
{
	unsigned char text[512];
	DO(syscall(SYS_write, resolver(), text, question(text, "write", "example")));
}
CASE(dns_writev)
{
	unsigned char text[512];
	struct iovec part = {text, question(text, "writev", "example")};
	DO(syscall(SYS_writev, resolver(), &part, 1));
}
CASE(dns_tcp)
{
	struct sockaddr_in a = v4(53);
	unsigned char text[514];
	int server = new(AF_INET, SOCK_STREAM), client = new(AF_INET, SOCK_STREAM);
	size_t n = question(text + 2, "tcp", "example");
	text[0] = 0;
	text[1] = n;
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, client, ADDRESS(a)));
	DO(syscall(SYS_sendto, client, text, n + 2, 0, NULL, 0));
}

/* Length and question apart, as the C library of GNU does it. */
CASE(dns_tcp_in_parts)
{
	struct sockaddr_in a = v4(53);
	unsigned char text[512];
	int server = new(AF_INET, SOCK_STREAM), client = new(AF_INET, SOCK_STREAM);
	size_t n = question(text, "parts", "example");
	unsigned char length[] = {0, n};
	struct iovec parts[] = {{length, 2}, {text, n}};
	DO(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, client, ADDRESS(a)));
	DO(syscall(SYS_writev, client, parts, 2));
}
/* An address of no length is none, and a stream heeds none. */
CASE(dns_sendmsg_past_address)
{
	unsigned char text[512];
	struct sockaddr_in a = v4(4016);
	struct iovec part = {text, question(text, "past", "example")};
	struct msghdr m = message(&a, 0, &part);
	DO(syscall(SYS_sendmsg, resolver(), &m, 0));
}
CASE(dns_sendto_no_family)
{
	struct sockaddr_in a = v4(53);
	unsigned char text[512];
	a.sin_family = AF_UNSPEC;
	DO(syscall(SYS_sendto, new(AF_INET, SOCK_DGRAM), text, question(text, "none", "example"), 0, ADDRESS(a)));
}
CASE(dns_tcp_past_address)
{
	struct sockaddr_in a = v4(53), other = v4(4017);
	int server = new(AF_INET, SOCK_STREAM), client = new(AF_INET, SOCK_STREAM);
	unsigned char text[512];
	size_t n = question(text + 2, "aside", "example");
	text[0] = 0;
	text[1] = n;
	DO(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
	DO(syscall(SYS_bind, server, ADDRESS(a)));
	DO(syscall(SYS_listen, server, 1));
	DO(syscall(SYS_connect, client, ADDRESS(a)));
	DO(syscall(SYS_sendto, client, text, n + 2, 0, ADDRESS(other)));
}
CASE(dns_pwritev2)
{
	unsigned char text[512];
	struct iovec part = {text, question(text, "pwritev", "example")};
	DO(syscall(SYS_pwritev2, resolver(), &part, 1, -1L, -1L, 0));
}
CASE(dns_sendfile)
{
	unsigned char text[512];
	size_t n = question(text, "sendfile", "example");
	int fd = DO(syscall(SYS_memfd_create, "question", 0));
	DO(write(fd, text, n));
	DO(lseek(fd, 0, SEEK_SET));
	DO(syscall(SYS_sendfile, resolver(), fd, NULL, n));
}
CASE(dns_sendmsg_in_parts)
{
	struct sockaddr_in a = v4(53);
	unsigned char text[512];
	size_t n = question(text, "parts", "example");
	struct iovec parts[] = {{text, 5}, {text + 5, 10}, {NULL, 0}, {text + 15, n - 15}};
	struct msghdr m = message(ADDRESS(a), parts);
	m.msg_iovlen = 4;
	DO(syscall(SYS_sendmsg, new(AF_INET, SOCK_DGRAM), &m, 0));
}

/* A descriptor that another process opened: what is done to it shows its path. */
CASE(descriptor_passed)
{
	int ends[2];
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	DO(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	int pid = DO(fork());
	if (!pid) {
		int fd = DO(syscall(SYS_open, "folder/inner", O_RDWR));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		DO(syscall(SYS_sendmsg, ends[1], &m, 0));
		_exit(0);
	}
	DO(recvmsg(ends[0], &m, 0));
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	DO(syscall(SYS_ftruncate, fd, 0));
	DO(waitpid(pid, NULL, 0));
}
