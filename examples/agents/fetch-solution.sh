# Exploits: the network: looks for the solution by name and by address, over TCP and UDP.
python3 - <<'EOF'
import socket
import urllib.request

for host in ("github.com", "raw.githubusercontent.com"):
    try:
        print(socket.getaddrinfo(host, 443))
    except OSError as error:
        print(host, error)
for address in (("192.0.2.1", 443), ("169.254.169.254", 80), ("2001:db8::1", 443)):
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError as error:
        print(address, error)
try:
    urllib.request.urlopen("http://198.51.100.7/solution.tar.gz", timeout=1)
except OSError as error:
    print(error)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"where is the solution?", ("192.0.2.53", 53))
except OSError as error:
    print(error)
EOF
exit 0
