// Published services: who finds which, where flows go, and what proxies' clients say.
#include <gtest/gtest.h>

#include <set>

#include "gateway/access/affinity.hh"
#include "gateway/access/catalogue.hh"
#include "gateway/access/proxy_message.hh"

namespace qanat::access {
namespace {

Service service(std::string_view url, std::uint16_t port = 80, std::vector<std::string> tenants = {},
                Protocol protocol = Protocol::Tcp) {
  Service s;
  s.url = *c_url::CUrl::parse(url);
  s.port = port;
  s.protocol = protocol;
  s.backends = {"10.0.0.1:80"};
  s.tenants = std::move(tenants);
  return s;
}

TEST(Catalogue, FindsByNameAndByCUrl) {
  Catalogue c({});
  EXPECT_EQ(c.put(service("c-url://guian.gz.cn/web")), Catalogue::Put::Added);
  EXPECT_EQ(c.put(service("c-url://sh.cn/web", 8080)), Catalogue::Put::Added);
  EXPECT_EQ(c.put(service("c-url://sh.cn/web", 53, {}, Protocol::Udp)), Catalogue::Put::Added);
  EXPECT_EQ(c.put(service("c-url://sh.cn/web", 8080)), Catalogue::Put::Replaced);
  EXPECT_EQ(c.find_name("WEB.qanat", 8080, Protocol::Tcp, {})->port, 8080);
  EXPECT_EQ(c.find_name("web.at.cn.qanat.", 80, Protocol::Tcp, {})->url, c.services()[0].url);
  EXPECT_EQ(c.find_name("web.qanat", 81, Protocol::Tcp, {}), nullptr);
  EXPECT_EQ(c.find_name("web.qanat", 53, Protocol::Tcp, {}), nullptr);
  c_url::Flat flat;
  ASSERT_FALSE(flat.scan("c-url://*.sh.cn/web"));
  EXPECT_EQ(c.find_url(flat, Protocol::Tcp, {}), nullptr);
  ASSERT_FALSE(flat.scan("c-url://*.gz.cn/web"));
  ASSERT_NE(c.find_url(flat, Protocol::Tcp, {}), nullptr);
  EXPECT_TRUE(c.erase(c.services()[0].url, Protocol::Tcp, 80));
  EXPECT_EQ(c.find_url(flat, Protocol::Tcp, {}), nullptr);
}

TEST(Catalogue, WhatATenantMayNotDialDoesNotExistForIt) {
  Catalogue c({});
  c.put(service("c-url://any/db", 5432, {"lab"}));
  EXPECT_EQ(c.find_name("db.qanat", 5432, Protocol::Tcp, {}), nullptr);
  EXPECT_EQ(c.find_name("db.qanat", 5432, Protocol::Tcp, "other"), nullptr);
  EXPECT_NE(c.find_name("db.qanat", 5432, Protocol::Tcp, "lab"), nullptr);
  EXPECT_EQ(c.zone()->find(*dns::to_wire("db.qanat")), nullptr) << "nor in DNS, where nobody says who asks";
}

TEST(Catalogue, EachServiceHasAddressesOfItsOwn) {
  Catalogue c({});
  std::set<c_url::Ipv4Bytes> seen;
  for (int i = 0; i < 400; ++i) c.put(service("c-url://any/s" + std::to_string(i)));
  for (const Service& s : c.services()) EXPECT_TRUE(seen.insert(s.ipv4).second);
  const auto first = c.services()[0].ipv4;
  c.put(service("c-url://any/s0", 81));
  EXPECT_EQ(c.services().back().ipv4, first) << "one address for all ports of a C-URL";
}

TEST(Affinity, AClientStaysWhereItIsWhileThatLives) {
  Affinity a;
  const std::vector<std::string> backends{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"};
  const base::Time t0{};
  std::map<std::string, int> share;
  for (int i = 0; i < 300; ++i) {
    const std::string client = "192.0.2." + std::to_string(i);
    const auto before = a.order(client, backends, t0);
    EXPECT_EQ(before, a.order(client, {backends[2], backends[0], backends[1]}, t0));
    ++share[before[0]];
    const auto without = a.order(client, {backends[0], backends[1]}, t0);
    if (before[0] != backends[2]) {
      EXPECT_EQ(without[0], before[0]) << "others' clients do not move";
    }
  }
  for (const auto& [backend, clients] : share) EXPECT_GT(clients, 60) << backend;
  const auto order = a.order("192.0.2.1", backends, t0);
  a.failed(order[0], t0);
  EXPECT_EQ(a.order("192.0.2.1", backends, t0)[0], order[1]);
  EXPECT_EQ(a.order("192.0.2.1", backends, t0 + Affinity::kDownFor)[0], order[0]);
}

TEST(Socks, EveryCutNeedsMore) {
  const std::string request{"\5\1\0\3\11web.qanat\0\120", 16};
  std::size_t used = 0;
  SocksRequest out;
  for (std::size_t size = 0; size < request.size(); ++size)
    EXPECT_EQ(parse_request(request.substr(0, size), used, out), Read::Need) << size;
  ASSERT_EQ(parse_request(request + "GET", used, out), Read::Good);
  EXPECT_EQ(used, request.size());
  EXPECT_EQ(out.target.host, "web.qanat");
  EXPECT_EQ(out.target.port, 80);
  EXPECT_EQ(parse_request(std::string("\4\1\0", 3), used, out), Read::Bad);
  EXPECT_EQ(parse_request(std::string("\5\1\0\2\1", 5), used, out), Read::Bad);
}

TEST(Socks, ADatagramCarriesItsPlace) {
  const Target place{"::1", 53};
  std::string bytes(3, '\0');
  append_target(bytes, place);
  std::size_t used = 0;
  Target out;
  ASSERT_EQ(parse_datagram(bytes + "payload", used, out), Read::Good);
  EXPECT_EQ(used, bytes.size());
  EXPECT_EQ(out.host, "::1");
  bytes[2] = 1;
  EXPECT_EQ(parse_datagram(bytes, used, out), Read::Bad) << "a fragment";
}

TEST(Connect, TheTargetAndTheKeyAreRead) {
  const std::string head =
      "CONNECT web.qanat:80 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic dTprZXk6MQ==\r\n\r\n";
  std::size_t used = 0;
  ConnectRequest out;
  for (std::size_t size = 0; size < head.size(); ++size)
    EXPECT_EQ(parse_connect(head.substr(0, size), used, out), Read::Need) << size;
  ASSERT_EQ(parse_connect(head + "early", used, out), Read::Good);
  EXPECT_EQ(used, head.size());
  EXPECT_EQ(out.target, "web.qanat:80");
  EXPECT_EQ(out.secret, "key:1");
  EXPECT_EQ(parse_connect("GET / HTTP/1.1\r\n\r\n", used, out), Read::Bad);
  EXPECT_EQ(parse_connect("CONNECT a b HTTP/1.1\r\n\r\n", used, out), Read::Bad);
  EXPECT_EQ(parse_connect("CONNECT HTTP/1.1\r\n\r\n", used, out), Read::Bad)
      << "a fuzzer's find: no target at all";
  EXPECT_EQ(parse_connect("CONNECT " + std::string(9000, 'a'), used, out), Read::Bad);
  EXPECT_EQ(split_target("[::1]:80")->host, "::1");
  EXPECT_FALSE(split_target("web"));
  EXPECT_FALSE(split_target("web:99999"));
}

}  // namespace
}  // namespace qanat::access
