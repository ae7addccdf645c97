// What is billed when a network is cut in the middle of a stream, on either side of the gateway, and when the clock on
// the gateway's wall jumps.
//
//   client ── veth ──> qanat-gateway ── veth ──> "local"        each in a namespace of its own;
//   10.9.1.2        10.9.1.1   10.9.2.1       10.9.2.2          "far" beside the gateway
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "tests/e2e/gateway/metering_lab.hh"
#include "tests/support/namespaces.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// This thread, and what it starts, in another namespace for a while.
class Inside {
 public:
  explicit Inside(const std::string& netns)
      : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const int there = ::open(("/run/netns/" + netns).c_str(), O_RDONLY | O_CLOEXEC);
    if (home_ < 0 || ::setns(there, CLONE_NEWNET) != 0) throw std::runtime_error("cannot enter " + netns);
    ::close(there);
  }
  ~Inside() {
    ::setns(home_, CLONE_NEWNET);
    ::close(home_);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int home_;
};

class MeteringCut : public Metering {
 protected:
  void SetUp() override {
    GatewayLab::SetUp();
    if (IsSkipped()) return;
    if (const std::string missing = test::namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    gateway_net_ = net_.add("gw");
    client_net_ = net_.add("client");
    pool_net_ = net_.add("pool");
    net_.join(gateway_net_, "10.9.1.1/24", client_net_, "10.9.1.2/24", "cut1");
    net_.join(gateway_net_, "10.9.2.1/24", pool_net_, "10.9.2.2/24", "cut2");
    host_ = "10.9.1.1";
    local_host_ = "10.9.2.2";
    settings_ = "stall_timeout = \"1s\"\n";
    patience_ = milliseconds(2000);
    local_port_ = support::free_port();
    far_port_ = support::free_port();
    {
      const Inside there(pool_net_);
      pool_ = std::make_unique<ScriptedPool>("local", local_port_, true, local_host_);
    }
    const Inside there(gateway_net_);
    other_ = std::make_unique<ScriptedPool>("far", far_port_, false);
    start_gateway();
  }
  std::vector<Seen> from_client(std::size_t count, const json& what,
                                const std::function<void(std::uint64_t)>& on_token = {}) {
    const Inside there(client_net_);
    return streams(count, what, 0, on_token);
  }
  // Cut once so many tokens have come.
  std::function<void(std::uint64_t)> cut_after(std::uint64_t tokens, const std::string& netns,
                                               const std::string& device) {
    return [this, tokens, netns, device, cut = false](std::uint64_t seen) mutable {
      if (cut || seen < tokens) return;
      cut = true;
      net_.set_up(netns, device, false);
    };
  }
  test::Namespaces net_;
  std::string gateway_net_, client_net_, pool_net_;
};

TEST_F(MeteringCut, TheLinkToThePoolInMidStream) {
  const auto seen = from_client(3, body("slow", true, 1000), cut_after(150, pool_net_, "cut2"));
  std::uint64_t received = 0;
  for (const Seen& s : seen) {
    EXPECT_EQ(s.pool, "local");
    EXPECT_FALSE(s.chat.done());
    EXPECT_NE(s.chat.failure(true), "") << "an error that the client can name";
    received += s.chat.tokens();
  }
  EXPECT_LT(received, 600u);
  json t = books(3);
  EXPECT_EQ(t["tokens_billed"], received) << "what came is paid, what was lost on the way is not";
  EXPECT_EQ(latest()["outcome"], "upstream_failed");
  // The link is still cut: the next call is heard elsewhere, and the cut pool costs it nothing.
  const Seen next = from_client(1, body("")).at(0);
  EXPECT_EQ(next.pool, "far");
  EXPECT_EQ(next.chat.tokens(), 5u);
  t = books(4);
  EXPECT_EQ(t["tokens_billed"], received + 5);
}

TEST_F(MeteringCut, TheLinkToTheClientInMidStream) {
  const auto seen =
      from_client(1, body("torrent", true, ScriptedPool::kTorrentTokens), cut_after(50, client_net_, "cut1"));
  const std::uint64_t received = seen[0].chat.tokens();
  EXPECT_GE(received, 50u);
  const json t = books(1);
  const json line = latest();
  EXPECT_EQ(line["outcome"], "client_gone");
  // Delivered is what the client's socket took: what the kernel still held when the link was cut is the client's.
  EXPECT_GE(t["tokens_billed"].get<std::uint64_t>(), received);
  EXPECT_LT(t["tokens_billed"].get<std::uint64_t>(), ScriptedPool::kTorrentTokens);
  EXPECT_EQ(line["tokens_out"], t["tokens_billed"]);
  // Nothing is held any more: the same key may call again.
  net_.set_up(client_net_, "cut1", true);
  EXPECT_EQ(from_client(1, body("")).at(0).chat.tokens(), 5u);
  books(2);
}

// The gateway's wall clock, through a preloaded library; monotonic time goes on as it does when an operator sets the time.
class MeteringClock : public Metering {
 protected:
  void SetUp() override {
    const std::string shim = clock_library();
    if (shim.empty()) GTEST_SKIP() << "libqanat-lab-clock.so is not built";
    jump(0);
    const char* asan = std::getenv("ASAN_OPTIONS");
    const std::string options = (asan ? std::string(asan) + ":" : std::string()) + "verify_asan_link_order=0";
    ::setenv("LD_PRELOAD", shim.c_str(), 1);
    ::setenv("QANAT_CLOCK", file_.c_str(), 1);
    ::setenv("ASAN_OPTIONS", options.c_str(), 1);
    Metering::SetUp();
  }
  void TearDown() override { ::unsetenv("LD_PRELOAD"); }
  static std::string clock_library() {
    const char* bin = std::getenv("QANAT_BIN");
    const auto folder =
        bin ? std::filesystem::path(bin) : std::filesystem::read_symlink("/proc/self/exe").parent_path();
    const auto file = folder / "libqanat-lab-clock.so";
    return std::filesystem::exists(file) ? file.string() : std::string();
  }
  // Written in place: the gateway has it mapped.
  void jump(int hours) {
    const std::int64_t offset = std::int64_t{hours} * 3600 * 1'000'000'000;
    std::fstream file(file_, std::ios::binary | std::ios::in | std::ios::out);
    if (!file) file.open(file_, std::ios::binary | std::ios::out);
    file.write(reinterpret_cast<const char*>(&offset), sizeof offset);
  }
  std::string file_ = folder_.file("clock");
};

TEST_F(MeteringClock, AJumpChangesNoBill) {
  std::uint64_t received = 0, calls = 0, billed_before = 0;
  for (const int hours : {24, -24, 24 * 365, 0}) {
    bool jumped = false;
    const auto seen = streams(3, body("slow", true, 1000), 0, [&](std::uint64_t tokens) {
      if (!jumped && tokens >= 100) jump(hours);
      jumped = jumped || tokens >= 100;
    });
    for (const Seen& s : seen) {
      EXPECT_EQ(s.chat.tokens(), 200u) << "no time-out is counted on that clock";
      EXPECT_EQ(s.pool, "local");
    }
    received += 600;
    calls += 3;
    settled([&](const json& totals) { return totals["calls"] == calls; });
    const json line = latest();
    const std::int64_t took =
        line["ended_unix_ms"].get<std::int64_t>() - line["started_unix_ms"].get<std::int64_t>();
    EXPECT_GT(std::abs(took), 3600 * 1000) << "the clock did jump";
    EXPECT_EQ(books(calls)["tokens_billed"], received);
    EXPECT_EQ(admin_json("/v1/status")["pools_fresh"], 2) << "ages are counted on the other one";
  }
  // Killed while the clock goes back a day: settled once at the next start, in the order of nothing but their ids.
  billed_before = received;
  bool killed = false;
  const auto seen = streams(2, body("slow", true, 1000), 0, [&](std::uint64_t tokens) {
    if (killed || tokens < 60) return;
    killed = true;
    jump(-24);
    gateway_->end(SIGKILL);
  });
  received = 0;
  for (const Seen& s : seen) received += s.chat.tokens();
  start_gateway();
  const json t = books(calls + 2);
  EXPECT_NEAR(t["tokens_billed"].get<double>() - double(billed_before), double(received), 2);
  EXPECT_EQ(json::parse(tenant("GET", "/qanat/v1/bill").body)["lines"].size(), calls + 2)
      << "none is lost in time";
}

}  // namespace
}  // namespace qanat::e2e
