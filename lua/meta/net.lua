---@meta ahost.net

--- ahost.net: connections, listeners and datagrams, over TCP, Unix sockets and UDP.
---
--- An address is a string, `"host:port"`, `"[::1]:80"`, `"[fe80::1%eth0]:80"`,
--- `":8080"` (all interfaces of both families; loopback for who connects or sends),
--- `"unix:/path"` or `"unix:@abstract"`, or a table of the same parts. `"fd:name"` and
--- `"fd:3"` are for who listens: sockets that the program was started with, as systemd
--- passes them; closing such a listener leaves the socket for the next. What is none
--- raises. Addresses are given back as such strings. Timeouts are in seconds;
--- without one a task waits for ever.
---
--- What is opened belongs to the current context and is closed with it; closing is
--- idempotent, wakes who waits with code CLOSED, and is what a `<close>` variable
--- does. `connect`, `listen` and `serve` are annotated in lua/ahost/net.lua.
local net = {}

---@class ahost.AddressTable
---@field host? string            a name or a literal without brackets; all when left out
---@field port? integer|string    0 to 65535
---@field path? string            of a Unix socket, instead of the others

---@alias ahost.Address string|ahost.AddressTable

---What the option `tls` of connect, listen and serve can be; true: for clients only.
---@alias ahost.net.Tls true|ahost.tls.Options|ahost.tls.Context

-- Names ---------------------------------------------------------------------------------

---@class ahost.net.ResolveOptions
---@field family? "ipv4"|"ipv6"    only these addresses
---@field port? integer            makes the results addresses with this port
---@field timeout? number

---Looks up the addresses of a host, at most 16, the one to prefer first (RFC 6724).
---Waits, unless the host is a literal. A lookup that is given up goes on in its
---thread. Raises when the text cannot be a host; `"127.1"` and the like cannot.
---@param host string    without a port or brackets
---@param opts? ahost.net.ResolveOptions
---@return string[]? addresses    `"127.0.0.1"`, `"::1"`; with a port `"[::1]:80"`
---@return ahost.Error? err       code EAI_NONAME and other EAI codes, TIMEDOUT
function net.resolve(host, opts) end

-- Datagrams -----------------------------------------------------------------------------

---@class ahost.net.UdpOptions
---@field connect? ahost.Address          the one peer to send to and to receive from
---@field queue? integer                  datagrams to read ahead, 65536 at most (64)
---@field reuseaddr? boolean              several sockets get each multicast
---@field reuseport? boolean              several sockets share the datagrams
---@field broadcast? boolean              broadcasts may be sent
---@field ttl? integer                    1 to 255
---@field multicast_ttl? integer          1 to 255 (1: this network)
---@field multicast_loop? boolean         own multicasts come back (true)
---@field multicast_interface? string     the name of the one they leave through

---A socket for datagrams. It reads ahead, from the first `receive` on, within
---`opts.queue` and 256 KiB; the rest waits in the kernel, which drops what does not
---fit. It does not keep a script running; a task that waits in `receive` does.
---@class ahost.UdpSocket
local UdpSocket = {}

---Opens a socket for datagrams. Waits only while names are looked up.
---@param address? ahost.Address    where to receive; any port of all interfaces if none
---@param opts? ahost.net.UdpOptions
---@return ahost.UdpSocket? socket
---@return ahost.Error? err    code EADDRINUSE, EADDRNOTAVAIL, EACCES, EAI_NONAME...
function net.udp(address, opts) end

---Sends a datagram. Waits while a name is looked up and while the kernel has no room;
---a cancelled wait for room does not take the datagram back. Raises on port 0, on a
---missing address, and on one given to a connected socket.
---@param data string
---@param address? ahost.Address    not for a connected socket
---@return true? ok
---@return ahost.Error? err    code EMSGSIZE, CLOSED, ENOBUFS (1 MiB waits), ECONNREFUSED
---                            (of an earlier one, when connected), EAI_NONAME...
function UdpSocket:send(data, address) end

---Waits for a datagram. Several tasks are served in the order of arrival.
---@param timeout? number
---@return string? data                 may be empty
---@return string|ahost.Error? from     where it comes from; else code TIMEDOUT, CLOSED,
---                                     ECONNREFUSED (when connected)...
function UdpSocket:receive(timeout) end

---@return string? address
---@return ahost.Error? err    code CLOSED
function UdpSocket:address() end

---@return string? address     the peer's, of a connected socket
---@return ahost.Error? err    code ENOTCONN, CLOSED
function UdpSocket:peer() end

---Joins a multicast group. Raises when it is no IP address.
---@param group string          an address without a port
---@param interface? string     its name, `"eth0"`; the system's choice when left out
---@return true? ok
---@return ahost.Error? err     code EADDRINUSE, ENODEV, EINVAL, CLOSED
function UdpSocket:join(group, interface) end

---Leaves a multicast group; arguments as for `join`.
---@param group string
---@param interface? string
---@return true? ok
---@return ahost.Error? err    code EADDRNOTAVAIL, ENODEV, EINVAL, CLOSED
function UdpSocket:leave(group, interface) end

---@class ahost.net.UdpStats
---@field received integer        datagrams read
---@field sent integer            datagrams the kernel has taken
---@field dropped integer         read, but longer than 64 KiB or too much for memory
---@field queued integer          read ahead
---@field queued_bytes integer    and their bytes

---@return ahost.net.UdpStats
function UdpSocket:stats() end

---Closes the socket; what was read ahead is dropped.
function UdpSocket:close() end

-- Streams -------------------------------------------------------------------------------

---A connection of bytes in both directions. One task reads at a time: a second reader
---raises. The end of the stream is a plain nil. Writes of one turn of the loop leave
---together at its end, or at once when 64 KiB have gathered. A read that fails takes
---nothing, but for `read_exactly` at the end. What the peer sent last can still be
---read after a failure of sending has been told.
---With TLS the end is what the peer has said to be the end (close_notify); a connection
---that ends without that is code TRUNCATED, unless the option `allow_truncation` is set:
---somebody may have cut it. `shutdown` and `close` say so to the peer.
---@class ahost.Stream
---@field timeout? number    seconds for each read, write and flush (nil: none)
local Stream = {}

---Waits for what there is, one byte at least.
---@param max? integer        bytes at most (65536)
---@param timeout? number     (stream.timeout)
---@return string? data       a plain nil at the end
---@return ahost.Error? err
function Stream:read(max, timeout) end

---@param n integer           bytes
---@param timeout? number
---@return string? data       a plain nil at the end
---@return ahost.Error? err   err.partial holds the bytes before a premature end
function Stream:read_exactly(n, timeout) end

---Reads a line, without its end `\n` or `\r\n`; at the end the unfinished rest.
---@param limit? integer      bytes at most, else code TOOLONG (65536)
---@param timeout? number
---@return string? line       a plain nil at the end
---@return ahost.Error? err
function Stream:read_line(limit, timeout) end

---Reads up to a delimiter, which is taken but not returned.
---@param delimiter string    1 to 65535 bytes
---@param limit? integer      bytes at most, else code TOOLONG (65536)
---@param timeout? number
---@return string? data
---@return ahost.Error? err
function Stream:read_until(delimiter, limit, timeout) end

---Reads to the end.
---@param limit? integer      bytes at most, else code TOOLONG (16 MiB)
---@param timeout? number
---@return string? data       may be empty
---@return ahost.Error? err
function Stream:read_all(limit, timeout) end

---Iterates over the lines as `read_line` gives them. Raises what goes wrong, TIMEDOUT
---of an idle peer too.
---@param limit? integer
---@return fun(): string? iterator
---@return ahost.Stream stream
function Stream:lines(limit) end

---Iterates over what there is, as `read` gives it. Raises what goes wrong.
---@param max? integer
---@return fun(): string? iterator
---@return ahost.Stream stream
function Stream:chunks(max) end

---Takes data to send, in order. Waits only while more than 64 KiB are queued, until
---the peer has taken enough; what a wait that failed has been given is sent all the
---same. A send that failed is told by the next call. Raises on what is no string, and
---has then written nothing.
---@param data string|string[]
---@param ... string|string[]
---@return true? ok
---@return ahost.Error? err    code EPIPE, ECONNRESET, CLOSED, TIMEDOUT...
function Stream:write(data, ...) end

---Waits until the kernel has everything.
---@param timeout? number
---@return true? ok
---@return ahost.Error? err
function Stream:flush(timeout) end

---Ends the outgoing half, behind what is queued. Does not wait.
---@return true? ok
---@return ahost.Error? err
function Stream:shutdown() end

---@return string? address    of this end
---@return ahost.Error? err
function Stream:address() end

---@return string? address    of the other end
---@return ahost.Error? err
function Stream:peer() end

---Starts TLS on a connection in plain text: flushes what was written, and makes the
---handshake. Waits. A client has to say for whom the certificate of the server must be,
---`hostname`, unless it does not verify; a server says `server = true`, or gives what
---ahost.tls.server returns. What the peer sent beyond the point where both sides start is
---never taken for encrypted: it is an error. After a failure the stream can only be
---closed. Raises on options that make no sense, and while another task reads or writes.
---@param opts? true|ahost.tls.Options|ahost.tls.Context
---@return true? ok
---@return ahost.Error? err    code CERTIFICATE: that of the peer is refused, err.reason
---  tells why: "expired" "not-yet-valid" "self-signed" "unknown-issuer" "hostname"
---  "missing" "purpose" "invalid"; code TLS: err.reason is "plaintext" "closed" "http"
---  "not-tls" "version" "cipher" "alpn" "server-name" "certificate-required" "record"
---  "alert" (the peer broke off) or "protocol"; TIMEDOUT, CLOSED, CONFIG, NOTFOUND...
function Stream:starttls(opts) end

---@class ahost.tls.Peer
---@field subject string          "CN=a.org,O=A"
---@field issuer string
---@field names string[]          that the certificate is for: hosts, addresses...
---@field not_before integer      seconds since 1970
---@field not_after integer
---@field fingerprint string      SHA-256 of the certificate, in hexadecimal

---@class ahost.tls.Description
---@field version string          "TLSv1.3"
---@field cipher string           "TLS_AES_256_GCM_SHA384"
---@field alpn? string            the application protocol
---@field server_name? string     that the client has asked for
---@field resumed boolean         without showing certificates again
---@field peer? ahost.tls.Peer    nil: it has shown no certificate
---@field session? string         of clients, for the option `session` of another
---  connection to the same server; a secret. With TLS 1.3 it comes behind the
---  handshake: after the first read

---Tells about the TLS of a connection. Waits for the end of its handshake.
---@param timeout? number    (stream.timeout)
---@return ahost.tls.Description? description    a plain nil in plain text
---@return ahost.Error? err                      what the handshake has failed with
function Stream:tls(timeout) end

---Closes the stream without waiting: what is queued is still sent, for `linger`
---seconds at most, then the connection is reset.
---@param linger? number    seconds (5)
function Stream:close(linger) end

-- Listeners -----------------------------------------------------------------------------

---@class ahost.Listener
local Listener = {}

---Waits for a connection. Several tasks are served in the order of arrival.
---@param timeout? number
---@return ahost.Stream? stream    belongs to the current context
---@return ahost.Error? err        code TIMEDOUT, CLOSED, EMFILE...
function Listener:accept(timeout) end

---Iterates over the connections, until the listener is closed. Raises what goes wrong.
---@return fun(): ahost.Stream? iterator
---@return ahost.Listener listener
function Listener:streams() end

---@return string? address     with the port that port 0 has become
---@return ahost.Error? err    code CLOSED
function Listener:address() end

---Stops listening.
function Listener:close() end

---@class ahost.Server
local Server = {}

---@return string? address     with the port that port 0 has become
---@return ahost.Error? err    code CLOSED
function Server:address() end

---@return integer count    of the connections now
function Server:count() end

---Stops accepting, waits for the handlers for `grace` seconds, cancels the rest and
---waits for their end.
---@param grace? number    seconds (0)
---@return true? ok
---@return ahost.Error? err
function Server:close(grace) end

return net
