// The name server as stories: a query's bytes in, an answer's bytes out.
#include <gtest/gtest.h>

#include "gateway/access/dns/responder.hh"

namespace qanat::dns {
namespace {

c_url::CUrl url(std::string_view text) { return *c_url::CUrl::parse(text); }

std::vector<Listing> listings() {
  return {{url("c-url://guian.gz.cn/infer/m1.5"), 8080, {100, 64, 0, 1}, {0xfd, 1}},
          {url("c-url://any/infer"), 80, {100, 64, 0, 2}, {0xfd, 2}},
          {url("c-url://sh.cn/wiki"), 80, {100, 64, 0, 3}, {0xfd, 3}}};
}

std::string query(std::string_view name, Type type, std::uint16_t id = 7) {
  std::string out;
  Writer w(out);
  for (std::uint16_t v :
       {id, std::uint16_t{0x0100}, std::uint16_t{1}, std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0}})
    w.u16(v);
  std::string wire = *to_wire(name);
  for (std::size_t i = 0; i < name.size(); ++i)
    if (name[i] != '.') wire[i + 1] = name[i];
  w.bytes(wire);
  w.u16(static_cast<std::uint16_t>(type));
  w.u16(1);
  return out;
}

std::string with_edns(std::string bytes, std::uint16_t size, std::uint8_t version = 0) {
  bytes[11] = 1;
  const std::string opt{
      '\0', 0, 41, static_cast<char>(size >> 8), static_cast<char>(size), 0, static_cast<char>(version), 0,
      0,    0, 0};
  return bytes + opt;
}

struct Seen {
  Outcome outcome;
  std::string bytes;
  unsigned rcode() const { return static_cast<unsigned char>(bytes[3]) & 15; }
  bool truncated() const { return (bytes[2] & 2) != 0; }
  bool authoritative() const { return (bytes[2] & 4) != 0; }
  unsigned answers() const { return static_cast<unsigned char>(bytes[7]); }
  unsigned authority() const { return static_cast<unsigned char>(bytes[9]); }
};

Seen ask(std::string_view bytes, Over over = Over::Udp, std::vector<Listing> all = listings()) {
  const Zone zone("qanat", all, 1);
  Seen seen;
  seen.outcome = respond(zone, bytes, over, seen.bytes);
  return seen;
}

TEST(Dns, AServiceHasAddressesPortAndName) {
  const Seen a = ask(query("wiki.qanat", Type::A));
  EXPECT_EQ(a.outcome, Outcome::Answered);
  EXPECT_EQ(a.answers(), 1u);
  EXPECT_TRUE(a.authoritative());
  EXPECT_EQ(a.bytes.substr(a.bytes.size() - 4), (std::string{100, 64, 0, 3}));
  EXPECT_EQ(ask(query("wiki.qanat", Type::Aaaa)).bytes.substr(12 + 16 + 12, 2), "\xfd\x03");
  const Seen svcb = ask(query("wiki.qanat", Type::Svcb));
  EXPECT_NE(svcb.bytes.find(std::string("\0\3\0\2\0\x50", 6)), std::string::npos) << "port 80";
  EXPECT_NE(ask(query("wiki.qanat", Type::Txt)).bytes.find("c-url=c-url://sh.cn/wiki"), std::string::npos);
}

TEST(Dns, ANameSaysAsMuchOfTheCUrlAsItWants) {
  for (const char* name : {"m1.5.infer.at.guian.gz.cn.qanat", "m1.5.infer.at.gz.cn.qanat",
                           "m1.5.infer.at.cn.qanat", "m1.5.infer.qanat", "infer.at.cn.qanat"})
    EXPECT_EQ(ask(query(name, Type::A)).answers(), 1u) << name;
  EXPECT_EQ(ask(query("infer.qanat", Type::A)).answers(), 2u) << "the one with a model, and the one without";
  EXPECT_EQ(ask(query("infer.at.sh.cn.qanat", Type::A)).outcome, Outcome::NxDomain);
}

TEST(Dns, TheQuestionGoesBackAsItCame) {
  const std::string mixed = query("wIkI.QaNaT", Type::A);
  const Seen seen = ask(mixed);
  EXPECT_EQ(seen.outcome, Outcome::Answered);
  EXPECT_EQ(seen.bytes.substr(12, 16), mixed.substr(12, 16));
}

TEST(Dns, AbsenceIsSaidWithTheZonesSoa) {
  const Seen nothing = ask(query("nobody.qanat", Type::A));
  EXPECT_EQ(nothing.outcome, Outcome::NxDomain);
  EXPECT_EQ(nothing.rcode(), 3u);
  EXPECT_EQ(nothing.authority(), 1u);
  for (const char* between : {"at.cn.qanat", "cn.qanat", "sh.cn.qanat"})
    EXPECT_EQ(ask(query(between, Type::A)).outcome, Outcome::NoData) << "names end in it (RFC 8020)";
  EXPECT_EQ(ask(query("qanat", Type::Soa)).outcome, Outcome::Answered);
  EXPECT_EQ(ask(query("example.org", Type::A)).outcome, Outcome::Refused);
  EXPECT_EQ(ask(query("xqanat", Type::A)).outcome, Outcome::Refused) << "a suffix of bytes is none of labels";
}

TEST(Dns, MalformedQueriesAreAnsweredOrDropped) {
  const std::string good = query("wiki.qanat", Type::A);
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Seen seen = ask(good.substr(0, size));
    EXPECT_EQ(seen.outcome, size < 12 ? Outcome::TooShort : Outcome::FormErr) << size;
    EXPECT_EQ(seen.bytes.empty(), size < 12);
  }
  std::string response = good;
  response[2] = static_cast<char>(0x81);
  EXPECT_EQ(ask(response).outcome, Outcome::IsResponse);
  EXPECT_TRUE(ask(response).bytes.empty());
  std::string update = good;
  update[2] = 0x28;
  EXPECT_EQ(ask(update).outcome, Outcome::NotImp);
  std::string two = good;
  two[5] = 2;
  EXPECT_EQ(ask(two).outcome, Outcome::FormErr);
  std::string pointer = good;
  pointer[12] = static_cast<char>(0xc0);
  EXPECT_EQ(ask(pointer).outcome, Outcome::FormErr);
  EXPECT_EQ(ask(good + "x").outcome, Outcome::FormErr);
  EXPECT_EQ(ask(with_edns(good, 1232, 1)).outcome, Outcome::BadVers);
  std::string chaos = good;
  chaos[chaos.size() - 1] = 3;
  EXPECT_EQ(ask(chaos).outcome, Outcome::Refused);
}

TEST(Dns, WhatDoesNotFitIsTruncatedOverUdpOnly) {
  std::vector<Listing> many;
  for (std::uint8_t i = 0; i < 8; ++i)
    many.push_back(
        {url("c-url://any/web/" + std::string(100, static_cast<char>('a' + i)) + "?x-a=1"), 80, {}, {}});
  const std::string txt = query("web.qanat", Type::Txt);
  const Seen plain = ask(txt, Over::Udp, many);
  EXPECT_EQ(plain.outcome, Outcome::Truncated);
  EXPECT_TRUE(plain.truncated());
  EXPECT_EQ(plain.answers(), 0u);
  EXPECT_LE(plain.bytes.size(), 512u);
  EXPECT_EQ(ask(with_edns(txt, 4096), Over::Udp, many).outcome, Outcome::Answered) << "about 1,100 bytes";
  EXPECT_LE(ask(with_edns(txt, 4096), Over::Udp, many).bytes.size(), 1232u);
  EXPECT_EQ(ask(with_edns(txt, 100), Over::Udp, many).outcome, Outcome::Truncated) << "never below 512";
  EXPECT_EQ(ask(txt, Over::Tcp, many).outcome, Outcome::Answered);
}

TEST(Dns, NamesOfManyServicesAreBounded) {
  std::vector<Listing> many;
  for (std::uint8_t i = 0; i < 20; ++i)
    many.push_back({url("c-url://any/web/m" + std::to_string(i)), 80, {100, 64, 1, i}, {}});
  EXPECT_EQ(ask(query("web.qanat", Type::A), Over::Udp, many).answers(), Zone::kMaxServicesPerName);
}

TEST(DnsName, WireFormAndBack) {
  EXPECT_EQ(*to_wire("Ab.c."), std::string("\2ab\1c\0", 6));
  EXPECT_EQ(to_dotted(*to_wire("ab.c")), "ab.c");
  EXPECT_EQ(to_dotted(std::string("\3a.\1\0", 5)), "a\\046\\001");
  EXPECT_FALSE(to_wire("a..b"));
  EXPECT_FALSE(to_wire(std::string(64, 'a')));
}

}  // namespace
}  // namespace qanat::dns
