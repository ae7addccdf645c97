#include "dataplane/io/netlink.hh"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>

#include "dataplane/io/fd.hh"
#include "dataplane/io/netns.hh"

namespace qanat::io {
namespace {

// Marks the routes that are ours to remove (values 64 … 255 are free for daemons).
constexpr std::uint8_t kRouteProtocol = 113;

template <auto Free>
struct Release {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Socket = std::unique_ptr<nl_sock, Release<nl_socket_free>>;
using Message = std::unique_ptr<nl_msg, Release<nlmsg_free>>;
using Cache = std::unique_ptr<nl_cache, Release<nl_cache_free>>;
using Address = std::unique_ptr<nl_addr, Release<nl_addr_put>>;
using RtAddress = std::unique_ptr<rtnl_addr, Release<rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, Release<rtnl_route_put>>;
using Link = std::unique_ptr<rtnl_link, Release<rtnl_link_put>>;
using Neighbour = std::unique_ptr<rtnl_neigh, Release<rtnl_neigh_put>>;

[[noreturn]] void fail(int nl_error, std::string_view attempt, std::string_view object) {
  throw std::system_error(EIO, std::generic_category(),
                          std::string(attempt) + ' ' + std::string(object) + ": " + nl_geterror(nl_error));
}

Address parse(std::string_view prefix) {
  nl_addr* out = nullptr;
  if (const int e = nl_addr_parse(std::string(prefix).c_str(), AF_UNSPEC, &out); e < 0)
    fail(e, "read the prefix", prefix);
  return Address(out);
}

std::string text(const nl_addr* address) {
  char buffer[128];
  std::string s = nl_addr2str(address, buffer, sizeof buffer);
  // libnl leaves out the length of a host address: put it back, so that texts compare.
  if (s.find('/') == std::string::npos) s += '/' + std::to_string(nl_addr_get_prefixlen(address));
  return s;
}

std::set<std::string> normalised(const std::vector<std::string>& prefixes) {
  std::set<std::string> out;
  for (const auto& p : prefixes) out.insert(text(parse(p).get()));
  return out;
}

RtAddress make_address(int index, std::string_view prefix) {
  const Address local = parse(prefix);
  RtAddress address(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(address.get(), index);
  rtnl_addr_set_local(address.get(), local.get());
  // Usable at once: nobody else on a point-to-point device could hold it.
  if (nl_addr_get_family(local.get()) == AF_INET6) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  return address;
}

Route make_route(int index, std::string_view prefix) {
  const Address destination = parse(prefix);
  Route route(rtnl_route_alloc());
  rtnl_route_set_dst(route.get(), destination.get());
  rtnl_route_set_family(route.get(), static_cast<std::uint8_t>(nl_addr_get_family(destination.get())));
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_protocol(route.get(), kRouteProtocol);
  rtnl_route_set_scope(route.get(),
                       nl_addr_get_family(destination.get()) == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
  rtnl_route_set_type(route.get(), RTN_UNICAST);
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_ifindex(hop, index);
  rtnl_route_add_nexthop(route.get(), hop);
  return route;
}

}  // namespace

struct Netlink::Impl {
  Socket socket;

  int index(std::string_view device) const {
    rtnl_link* link = nullptr;
    if (const int e = rtnl_link_get_kernel(socket.get(), 0, std::string(device).c_str(), &link); e < 0)
      fail(e, "find device", device);
    const Link owned(link);
    return rtnl_link_get_ifindex(link);
  }

  // RTM_NEWLINK by hand: libnl 3.7 has no setter for the GSO limits.
  void set_link(std::string_view device, unsigned mtu, unsigned queue_length, unsigned gso_max_segments) {
    Message message(nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK));
    ifinfomsg info{};
    info.ifi_family = AF_UNSPEC;
    info.ifi_index = index(device);
    info.ifi_change = IFF_UP;
    info.ifi_flags = IFF_UP;
    nlmsg_append(message.get(), &info, sizeof info, NLMSG_ALIGNTO);
    if (mtu != 0) nla_put_u32(message.get(), IFLA_MTU, mtu);
    if (queue_length != 0) nla_put_u32(message.get(), IFLA_TXQLEN, queue_length);
    if (gso_max_segments != 0) nla_put_u32(message.get(), IFLA_GSO_MAX_SEGS, gso_max_segments);
    if (const int e = nl_send_sync(socket.get(), message.release()); e < 0) fail(e, "set up device", device);
  }

  std::set<std::string> addresses(int index_wanted) const {
    nl_cache* raw = nullptr;
    if (const int e = rtnl_addr_alloc_cache(socket.get(), &raw); e < 0) fail(e, "list", "addresses");
    const Cache cache(raw);
    std::set<std::string> out;
    for (nl_object* o = nl_cache_get_first(raw); o != nullptr; o = nl_cache_get_next(o)) {
      auto* address = reinterpret_cast<rtnl_addr*>(o);
      if (rtnl_addr_get_ifindex(address) != index_wanted) continue;
      if (rtnl_addr_get_scope(address) == RT_SCOPE_LINK) continue;
      out.insert(text(rtnl_addr_get_local(address)));
    }
    return out;
  }

  std::set<std::string> routes(int index_wanted) const {
    nl_cache* raw = nullptr;
    if (const int e = rtnl_route_alloc_cache(socket.get(), AF_UNSPEC, 0, &raw); e < 0)
      fail(e, "list", "routes");
    const Cache cache(raw);
    std::set<std::string> out;
    for (nl_object* o = nl_cache_get_first(raw); o != nullptr; o = nl_cache_get_next(o)) {
      auto* route = reinterpret_cast<rtnl_route*>(o);
      if (rtnl_route_get_protocol(route) != kRouteProtocol || rtnl_route_get_nnexthops(route) != 1) continue;
      if (rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, 0)) != index_wanted) continue;
      out.insert(text(rtnl_route_get_dst(route)));
    }
    return out;
  }
};

Netlink::Netlink(std::string_view netns) : impl_(std::make_unique<Impl>()) {
  const NetnsScope scope(netns);
  impl_->socket.reset(nl_socket_alloc());
  if (const int e = nl_connect(impl_->socket.get(), NETLINK_ROUTE); e < 0)
    fail(e, "open", "a netlink socket");
}

Netlink::~Netlink() = default;
Netlink::Netlink(Netlink&&) noexcept = default;
Netlink& Netlink::operator=(Netlink&&) noexcept = default;

std::vector<std::string> Netlink::reconcile(std::string_view device, const DeviceState& wanted) {
  nl_sock* socket = impl_->socket.get();
  impl_->set_link(device, wanted.mtu, wanted.queue_length, wanted.gso_max_segments);
  const int index = impl_->index(device);
  std::vector<std::string> refused;
  const auto attempt = [&](int e, const char* what, const std::string& object) {
    if (e < 0 && e != -NLE_EXIST && e != -NLE_OBJ_NOTFOUND)
      refused.push_back(std::string(what) + ' ' + object + " on " + std::string(device) + ": " +
                        nl_geterror(e));
  };

  const auto have_addresses = impl_->addresses(index);
  const auto want_addresses = normalised(wanted.addresses);
  for (const auto& a : want_addresses)
    if (!have_addresses.contains(a))
      attempt(rtnl_addr_add(socket, make_address(index, a).get(), NLM_F_CREATE | NLM_F_REPLACE),
              "add address", a);
  for (const auto& a : have_addresses)
    if (!want_addresses.contains(a))
      attempt(rtnl_addr_delete(socket, make_address(index, a).get(), 0), "remove address", a);

  // Read after the addresses changed: the kernel drops routes whose source went away.
  const auto have_routes = impl_->routes(index);
  const auto want_routes = normalised(wanted.routes);
  for (const auto& r : want_routes)
    if (!have_routes.contains(r))
      attempt(rtnl_route_add(socket, make_route(index, r).get(), NLM_F_CREATE | NLM_F_REPLACE), "add route",
              r);
  for (const auto& r : have_routes)
    if (!want_routes.contains(r))
      attempt(rtnl_route_delete(socket, make_route(index, r).get(), 0), "remove route", r);
  return refused;
}

unsigned Netlink::route_mtu(std::string_view address) const {
  nl_sock* socket = impl_->socket.get();
  const Address destination = parse(address);
  rtnl_route* raw = nullptr;
  if (rtnl_route_lookup(socket, destination.get(), &raw) < 0) return 0;
  const Route route(raw);
  if (rtnl_route_get_nnexthops(raw) < 1) return 0;
  rtnl_link* link = nullptr;
  if (rtnl_link_get_kernel(socket, rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(raw, 0)), nullptr, &link) <
      0)
    return 0;
  const Link owned(link);
  return rtnl_link_get_mtu(link);
}

std::optional<NextHop> Netlink::next_hop(std::string_view address) const {
  nl_sock* socket = impl_->socket.get();
  const Address destination = parse(address);
  rtnl_route* raw = nullptr;
  if (rtnl_route_lookup(socket, destination.get(), &raw) < 0) return std::nullopt;
  const Route route(raw);
  if (rtnl_route_get_nnexthops(raw) != 1) return std::nullopt;
  rtnl_nexthop* hop = rtnl_route_nexthop_n(raw, 0);
  nl_addr* gateway = rtnl_route_nh_get_gateway(hop);
  nl_cache* neighbours = nullptr;
  if (rtnl_neigh_alloc_cache(socket, &neighbours) < 0) return std::nullopt;
  const Cache owned(neighbours);
  const Neighbour neighbour(rtnl_neigh_get(neighbours, rtnl_route_nh_get_ifindex(hop),
                                           gateway != nullptr ? gateway : destination.get()));
  if (!neighbour || (rtnl_neigh_get_state(neighbour.get()) & (NUD_FAILED | NUD_INCOMPLETE)) != 0)
    return std::nullopt;
  const nl_addr* link = rtnl_neigh_get_lladdr(neighbour.get());
  NextHop out{rtnl_route_nh_get_ifindex(hop), {}};
  if (link == nullptr || nl_addr_get_len(link) != out.link_address.size()) return std::nullopt;
  const auto* bytes = static_cast<const std::uint8_t*>(nl_addr_get_binary_addr(link));
  std::copy_n(bytes, out.link_address.size(), out.link_address.begin());
  return out;
}

}  // namespace qanat::io
