// Two tenants with the same addresses on the same two boxes, each in namespaces of its own; and a policy held on the way.
//
//   a100 ─ qt100 ┐                    ┌ qt100 ─ b100      100.96.1.1 and 100.96.2.1, twice
//                ├ a (box 1) ══ b (box 2) ┤
//   a200 ─ qt200 ┘                    └ qt200 ─ b200
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/flows.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using packet::DropReason;

class Tenants : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    a = net.add("a");
    b = net.add("b");
    for (const char* name : {"a100", "a200", "b100", "b200"}) net.add(name);
    net.join(a, "10.1.0.1/16", b, "10.1.0.2/16", "v1");
    overlay.add_node(1, false, {1});
    overlay.add_node(2, false, {1});
    overlay.add_tenant(100, {1, 2});
    overlay.add_tenant(200, {1, 2});
  }
  void start() {
    box_a = std::make_unique<TestBox>(
        overlay, 1, a, 1, std::map<std::uint32_t, std::string>{{100, in("a100")}, {200, in("a200")}});
    box_b = std::make_unique<TestBox>(
        overlay, 2, b, 1, std::map<std::uint32_t, std::string>{{100, in("b100")}, {200, in("b200")}});
    ASSERT_TRUE(box_a->wait_for_path(2, 20)) << box_a->drops_text();
    ASSERT_TRUE(box_b->wait_for_path(1, 20)) << box_b->drops_text();
  }
  std::string in(const char* name) const { return a.substr(0, a.size() - 1) + name; }
  static constexpr std::uint64_t kBytes = 1 << 20;

  Namespaces net;
  std::string a, b;
  Overlay overlay{9};
  std::unique_ptr<TestBox> box_a, box_b;
};

TEST_F(Tenants, TheSameAddressesTwiceNeverMeet) {
  start();
  // Both at once, to the same address and port: each listener hears its own tenant, whole.
  TcpResult other;
  std::thread second([&] { other = tcp_transfer(in("a200"), in("b200"), "100.96.2.1", kBytes); });
  const TcpResult one = tcp_transfer(in("a100"), in("b100"), "100.96.2.1", kBytes);
  second.join();
  for (const TcpResult& r : {one, other}) {
    EXPECT_EQ(r.bytes, kBytes);
    EXPECT_TRUE(r.intact);
  }
  // A listener of the other tenant is not there for this one.
  const TcpResult crossed = tcp_transfer(in("a100"), in("b200"), "100.96.2.1", 1000);
  EXPECT_EQ(crossed.bytes, 0u);
}

TEST_F(Tenants, APolicyLetsThroughWhatItNamesAndItsAnswers) {
  overlay.set_policy(100, {"deny web -> db udp", "allow web -> db tcp/1024-65535"},
                     {{1, {"web"}}, {2, {"db"}}});
  overlay.set_policy(200, {}, {});
  start();
  EXPECT_TRUE(tcp_transfer(in("a100"), in("b100"), "100.96.2.1", kBytes).intact) << box_b->drops_text();
  EXPECT_EQ(box_b->drops(DropReason::AclDenied), 0u) << "the answers of what was opened";
  EXPECT_EQ(tcp_transfer(in("b100"), in("a100"), "100.96.1.1", 1000).bytes, 0u) << "not the other way";
  EXPECT_GT(box_b->drops(DropReason::AclDenied), 0u);
  const auto before = box_a->drops(DropReason::AclDenied);
  EXPECT_EQ(tcp_transfer(in("a200"), in("b200"), "100.96.2.1", 1000).bytes, 0u) << "no rule, no flow";
  EXPECT_GT(box_a->drops(DropReason::AclDenied), before);
}

}  // namespace
}  // namespace qanat::test
