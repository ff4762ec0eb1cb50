/* Messages that go out without a connection, and sockets that are no files. */
#include "evade.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* A question to a name server: does "evil.example" have an address? */
static char question[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04" "evil\x07" "example\x00\x00\x01\x00\x01";
static const struct sockaddr_in server = {.sin_family = AF_INET};

static struct sockaddr_in name_server(void)
{
	struct sockaddr_in address = server;
	address.sin_port = htons(53);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static struct iovec whole(void)
{
	return (struct iovec){question, sizeof(question) - 1};
}

EVASION(udp_sendto)
{
	struct sockaddr_in to = name_server();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (sendto(fd, question, sizeof(question) - 1, 0, (void *)&to, sizeof(to)) < 0)
		return failed();
	return make("mark");
}

EVASION(udp_sendmsg)
{
	struct sockaddr_in to = name_server();
	struct iovec data = whole();
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &data, .msg_iovlen = 1};
	if (sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &message, 0) < 0)
		return failed();
	return make("mark");
}

EVASION(udp_sendmmsg)
{
	struct sockaddr_in to = name_server();
	struct iovec data = whole();
	struct mmsghdr messages[2] = {
		{.msg_hdr = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &data, .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &data, .msg_iovlen = 1}},
	};
	if (sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), messages, 2, 0) < 1)
		return failed();
	return make("mark");
}

/* The last of as many messages as the kernel takes goes where there is no way, which its caller is not told. */
EVASION(udp_last_of_many)
{
	static struct mmsghdr messages[1024];
	struct sockaddr_in to = name_server(), out = to;
	struct iovec data = {"x", 1};
	to.sin_port = htons(9);
	out.sin_addr.s_addr = htonl(0x0a090909);
	for (int i = 0; i < 1024; i++)
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = i == 1023 ? &out : &to, .msg_namelen = sizeof(to), .msg_iov = &data, .msg_iovlen = 1};
	make_with("truth", "127.0.0.1\n10.9.9.9\n");
	return sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), messages, 1024, 0) == 1023 ? make("mark") : failed();
}

/* To an address of no family. */
EVASION(udp_without_family)
{
	struct sockaddr_in to = name_server();
	to.sin_family = AF_UNSPEC;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (sendto(fd, question, sizeof(question) - 1, 0, (void *)&to, sizeof(to)) < 0)
		return failed();
	return make("mark");
}

EVASION(udp_write)
{
	struct sockaddr_in to = name_server();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (connect(fd, (void *)&to, sizeof(to)) || write(fd, question, sizeof(question) - 1) < 0)
		return failed();
	return make("mark");
}

/* A question cut into pieces. */
EVASION(udp_writev)
{
	struct sockaddr_in to = name_server();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct iovec pieces[2] = {{question, 5}, {question + 5, sizeof(question) - 6}};
	if (connect(fd, (void *)&to, sizeof(to)) || writev(fd, pieces, 2) < 0)
		return failed();
	return make("mark");
}

EVASION(udp_sendmsg_in_pieces)
{
	struct sockaddr_in to = name_server();
	struct iovec pieces[2] = {{question, 5}, {question + 5, sizeof(question) - 6}};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = pieces, .msg_iovlen = 2};
	if (sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &message, 0) < 0)
		return failed();
	return make("mark");
}

/* Connects and sends at once. */
EVASION(tcp_fast_open)
{
	struct sockaddr_in to = name_server();
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return check(sendto(fd, question, sizeof(question) - 1, MSG_FASTOPEN, (void *)&to, sizeof(to)));
}

EVASION(raw_socket)
{
	return check(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
}

EVASION(packet_socket)
{
	return check(socket(AF_PACKET, SOCK_DGRAM, 0));
}

/* Sockets that no network namespace holds. */
EVASION(vsock)
{
	return check(socket(AF_VSOCK, SOCK_STREAM, 0));
}

EVASION(kernel_crypto)
{
	return check(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

EVASION(netlink)
{
	struct { struct nlmsghdr head; struct rtgenmsg body; } ask = {
		{sizeof(ask), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (fd < 0 || sendto(fd, &ask, sizeof(ask), 0, (void *)&to, sizeof(to)) < 0)
		return failed();
	return make("mark");
}

/* Two processes that have no file in common. */
EVASION(abstract_socket)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0hidden"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 7;
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(server, (void *)&name, length) || listen(server, 1))
		return failed();
	pid_t child = fork();
	if (!child) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		_exit(connect(fd, (void *)&name, length) || write(fd, "x", 1) != 1 ? failed() : 0);
	}
	char byte;
	int failure = outcome(child), fd = accept(server, NULL, NULL);
	return failure ? failure : read(fd, &byte, 1) != 1 ? failed() : make("mark");
}
