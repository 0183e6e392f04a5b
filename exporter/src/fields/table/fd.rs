//! `fd.*`: the file or socket of the event's descriptor.

use super::fields;

fields! {
    /// Fields of the event's file or socket.
    FdField in Fd;
    Num = "fd.num", Int64, None, One, SYSCALL, 0, "Number of the file descriptor.";
    Type = "fd.type", String, None, One, SYSCALL, 0, "Kind of descriptor: file, directory, ipv4, ipv6, unix, pipe, event, bpf, memfd and others.";
    TypeChar = "fd.typechar", String, None, One, SYSCALL, 0, "Kind of descriptor as one character: f file, d directory, 4 ipv4, 6 ipv6, u unix, p pipe, e event, b bpf, m memfd and others.";
    Name = "fd.name", String, None, One, SYSCALL, 0, "Resolved path of a file, or client:port->server:port of a socket. If the call failed, the path argument made absolute.";
    NameRaw = "fd.nameraw", String, None, One, SYSCALL, 0, "The path argument as the caller passed it.";
    Directory = "fd.directory", String, None, One, SYSCALL, 0, "Folder part of fd.name, for files.";
    Filename = "fd.filename", String, None, One, SYSCALL, 0, "Last part of fd.name, for files.";
    Ip = "fd.ip", IpAddr, None, Any, SYSCALL, 0, "Client or server address: compares true if either does.";
    CIp = "fd.cip", IpAddr, None, One, SYSCALL, 0, "Client address.";
    SIp = "fd.sip", IpAddr, None, One, SYSCALL, 0, "Server address.";
    LIp = "fd.lip", IpAddr, None, One, SYSCALL, 0, "Local address.";
    RIp = "fd.rip", IpAddr, None, One, SYSCALL, 0, "Remote address.";
    Port = "fd.port", Port, None, Any, SYSCALL, 0, "Client or server port: compares true if either does.";
    CPort = "fd.cport", Port, None, One, SYSCALL, 0, "Client port.";
    SPort = "fd.sport", Port, None, One, SYSCALL, 0, "Server port.";
    LPort = "fd.lport", Port, None, One, SYSCALL, 0, "Local port.";
    RPort = "fd.rport", Port, None, One, SYSCALL, 0, "Remote port.";
    L4Proto = "fd.l4proto", String, None, One, SYSCALL, 0, "Transport protocol: tcp, udp, icmp or raw.";
    SockFamily = "fd.sockfamily", String, None, One, SYSCALL, 0, "Family of the socket: ip or unix.";
    IsServer = "fd.is_server", Bool, None, One, SYSCALL, 0, "True if the process is the server end of the connection.";
    Uid = "fd.uid", String, None, One, SYSCALL, 0, "Thread id followed by descriptor number.";
    ContainerName = "fd.containername", String, None, One, SYSCALL, 0, "container.id, a colon and fd.name.";
    ContainerDirectory = "fd.containerdirectory", String, None, One, SYSCALL, 0, "container.id, a colon and fd.directory.";
    Proto = "fd.proto", Port, None, Any, SYSCALL, 0, "The same as fd.port.";
    CProto = "fd.cproto", String, None, One, SYSCALL, 0, "Well-known service of the client port, or its number.";
    SProto = "fd.sproto", String, None, One, SYSCALL, 0, "Well-known service of the server port, or its number.";
    LProto = "fd.lproto", String, None, One, SYSCALL, 0, "Well-known service of the local port, or its number.";
    RProto = "fd.rproto", String, None, One, SYSCALL, 0, "Well-known service of the remote port, or its number.";
    Net = "fd.net", IpNet, None, Any, SYSCALL, 0, "Client or server address, compared with networks.";
    CNet = "fd.cnet", IpNet, None, One, SYSCALL, 0, "Client address, compared with networks.";
    SNet = "fd.snet", IpNet, None, One, SYSCALL, 0, "Server address, compared with networks.";
    LNet = "fd.lnet", IpNet, None, One, SYSCALL, 0, "Local address, compared with networks.";
    RNet = "fd.rnet", IpNet, None, One, SYSCALL, 0, "Remote address, compared with networks.";
    Connected = "fd.connected", Bool, None, One, SYSCALL, 0, "True if the socket has a peer.";
    NameChanged = "fd.name_changed", Bool, None, One, SYSCALL, 0, "True if this event changes fd.name, as when an unconnected UDP socket is used with another peer.";
    CIpName = "fd.cip.name", String, None, Any, SYSCALL, 0, "Names of the client address: those of the host (names that rules mention, resolved ahead of time, and /etc/hosts) and those that answers of name servers gave processes in the same network namespace.";
    SIpName = "fd.sip.name", String, None, Any, SYSCALL, 0, "Names of the server address: those of the host (names that rules mention, resolved ahead of time, and /etc/hosts) and those that answers of name servers gave processes in the same network namespace.";
    LIpName = "fd.lip.name", String, None, Any, SYSCALL, 0, "Names of the local address: those of the host (names that rules mention, resolved ahead of time, and /etc/hosts) and those that answers of name servers gave processes in the same network namespace.";
    RIpName = "fd.rip.name", String, None, Any, SYSCALL, 0, "Names of the remote address: those of the host (names that rules mention, resolved ahead of time, and /etc/hosts) and those that answers of name servers gave processes in the same network namespace.";
    Dev = "fd.dev", Int32, None, One, SYSCALL, 0, "Device number of the file's file system.";
    DevMajor = "fd.dev.major", Int32, None, One, SYSCALL, 0, "Major part of fd.dev.";
    DevMinor = "fd.dev.minor", Int32, None, One, SYSCALL, 0, "Minor part of fd.dev.";
    Ino = "fd.ino", Int64, None, One, SYSCALL, 0, "Inode number of the file.";
    IsUpperLayer = "fd.is_upper_layer", Bool, None, One, SYSCALL, 0, "True if the file is on the upper layer of an overlay file system.";
    IsLowerLayer = "fd.is_lower_layer", Bool, None, One, SYSCALL, 0, "True if the file is on the lower layer of an overlay file system.";
}
