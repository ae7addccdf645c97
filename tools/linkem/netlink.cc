#include "tools/linkem/netlink.hh"

#include <linux/fib_rules.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace qanat::linkem {
namespace {

// libnl has its own error numbers; the common ones keep their meaning as errno.
[[noreturn]] void fail(int error, const std::string& attempt) {
  int code = EIO;
  switch (-error) {
    case NLE_EXIST: code = EEXIST; break;
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND: code = ENODEV; break;
    case NLE_PERM: code = EPERM; break;
    case NLE_NOACCESS: code = EACCES; break;
    case NLE_INVAL: code = EINVAL; break;
    case NLE_NOMEM: code = ENOMEM; break;
    case NLE_BUSY: code = EBUSY; break;
    default: break;
  }
  throw std::system_error(code, std::generic_category(), attempt + " (" + nl_geterror(error) + ")");
}

struct Release {
  void operator()(rtnl_link* p) const { rtnl_link_put(p); }
  void operator()(rtnl_addr* p) const { rtnl_addr_put(p); }
  void operator()(nl_addr* p) const { nl_addr_put(p); }
  void operator()(rtnl_route* p) const { rtnl_route_put(p); }
  void operator()(rtnl_rule* p) const { rtnl_rule_put(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Release>;

Owned<nl_addr> parse_address(const std::string& text, int family) {
  nl_addr* parsed = nullptr;
  if (const int error = nl_addr_parse(text.c_str(), family, &parsed); error < 0)
    fail(error, "parse address " + text);
  return Owned<nl_addr>(parsed);
}

}  // namespace

Netlink::Netlink() : socket_(nl_socket_alloc()) {
  if (!socket_) throw std::system_error(ENOMEM, std::generic_category(), "open netlink");
  if (const int error = nl_connect(socket_, NETLINK_ROUTE); error < 0) {
    nl_socket_free(socket_);
    fail(error, "connect netlink");
  }
}

Netlink::~Netlink() { nl_socket_free(socket_); }

int Netlink::index_of(const std::string& device) {
  rtnl_link* link = nullptr;
  if (const int error = rtnl_link_get_kernel(socket_, 0, device.c_str(), &link); error < 0)
    fail(error, "find interface " + device);
  const Owned<rtnl_link> owned(link);
  return rtnl_link_get_ifindex(link);
}

bool Netlink::has_device(const std::string& device) {
  rtnl_link* link = nullptr;
  if (rtnl_link_get_kernel(socket_, 0, device.c_str(), &link) < 0) return false;
  rtnl_link_put(link);
  return true;
}

void Netlink::set_up(const std::string& device) {
  const Owned<rtnl_link> link(rtnl_link_alloc()), change(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), index_of(device));
  rtnl_link_set_flags(change.get(), IFF_UP);
  if (const int error = rtnl_link_change(socket_, link.get(), change.get(), 0); error < 0)
    fail(error, "bring up " + device);
}

void Netlink::set_mtu(const std::string& device, unsigned mtu) {
  const Owned<rtnl_link> link(rtnl_link_alloc()), change(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), index_of(device));
  rtnl_link_set_mtu(change.get(), mtu);
  if (const int error = rtnl_link_change(socket_, link.get(), change.get(), 0); error < 0)
    fail(error, "set the MTU of " + device);
}

void Netlink::add_address(const std::string& device, const std::string& address) {
  const auto local = parse_address(address, AF_UNSPEC);
  const Owned<rtnl_addr> entry(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(entry.get(), index_of(device));
  rtnl_addr_set_local(entry.get(), local.get());
  if (nl_addr_get_family(local.get()) == AF_INET6) rtnl_addr_set_flags(entry.get(), IFA_F_NODAD);
  const int error = rtnl_addr_add(socket_, entry.get(), 0);
  if (error < 0 && error != -NLE_EXIST) fail(error, "add address " + address + " to " + device);
}

void Netlink::add_route(const std::string& destination, const std::string& device, const std::string& source,
                        unsigned table) {
  const auto to =
      destination == "default" ? parse_address("0.0.0.0/0", AF_INET) : parse_address(destination, AF_UNSPEC);
  const Owned<rtnl_route> route(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(nl_addr_get_family(to.get())));
  rtnl_route_set_scope(route.get(), RT_SCOPE_LINK);
  rtnl_route_set_table(route.get(), table ? table : static_cast<unsigned>(RT_TABLE_MAIN));
  rtnl_route_set_protocol(route.get(), RTPROT_STATIC);
  rtnl_route_set_dst(route.get(), to.get());
  if (!source.empty()) {
    const auto from = parse_address(source, AF_UNSPEC);
    rtnl_route_set_pref_src(route.get(), from.get());
  }
  rtnl_nexthop* hop = rtnl_route_nh_alloc();  // the route owns it from here on
  rtnl_route_nh_set_ifindex(hop, index_of(device));
  rtnl_route_add_nexthop(route.get(), hop);
  if (const int error = rtnl_route_add(socket_, route.get(), 0); error < 0 && error != -NLE_EXIST)
    fail(error, "add route to " + destination + " through " + device);
}

void Netlink::confine(const std::string& source, unsigned table) {
  const auto from = parse_address(source + "/32", AF_INET);
  const Owned<rtnl_rule> rule(rtnl_rule_alloc());
  rtnl_rule_set_family(rule.get(), AF_INET);
  rtnl_rule_set_src(rule.get(), from.get());
  rtnl_rule_set_table(rule.get(), table);
  rtnl_rule_set_action(rule.get(), FR_ACT_TO_TBL);
  if (const int error = rtnl_rule_add(socket_, rule.get(), 0); error < 0 && error != -NLE_EXIST)
    fail(error, "add the rule for packets from " + source);
  const auto anywhere = parse_address("0.0.0.0/0", AF_INET);
  const Owned<rtnl_route> end(rtnl_route_alloc());
  rtnl_route_set_family(end.get(), AF_INET);
  rtnl_route_set_table(end.get(), table);
  rtnl_route_set_type(end.get(), RTN_UNREACHABLE);
  rtnl_route_set_dst(end.get(), anywhere.get());
  if (const int error = rtnl_route_add(socket_, end.get(), 0); error < 0 && error != -NLE_EXIST)
    fail(error, "add the end of table " + std::to_string(table));
}

}  // namespace qanat::linkem
