// What becomes of calls when a pool's cards fail under load: a gateway, two pools, faults injected by the operator.
//
//   tenant ── http ──> qanat-gateway ──> qanat-pool "local"  <── POST /qanat/v1/faults
//                            └─────────> qanat-pool "far"
//
// In every story: a stream that began goes on or ends with an error it can name, a call that had not begun goes
// elsewhere, and the bill is what arrived.
#include <algorithm>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

// Ten times faster than the cards, so that a restart takes a second or two.
constexpr const char* kFast = "time_scale = 10\n[life]\nstart_s = 6\n";

class PoolFaults : public GatewayLab {
 protected:
  json operate(const std::string& method, const std::string& target, const json& body = {}) {
    const auto answer = base::fetch_blocking("unix:" + folder_.file("local.sock"),
                                             {method, target, {}, body.is_null() ? "" : body.dump()});
    EXPECT_TRUE(answer && answer->status == 200) << target << (answer ? answer->body : "");
    return answer ? json::parse(answer->body) : json();
  }
  std::uint64_t inject(const json& fault) { return operate("POST", "/qanat/v1/faults", fault)["id"]; }
  json model() { return operate("GET", "/v1/status")["models"][0]; }
  // Streams, all at the local pool first; the fault strikes once `after` tokens have come.
  std::vector<Seen> streams_with(std::size_t count, std::uint32_t tokens, std::uint64_t after,
                                 const json& fault, std::uint64_t* id = nullptr) {
    bool struck = false;
    return streams(count, chat_body(tokens, true, c_url()), 0, [&](std::uint64_t all) {
      if (struck || all < after) return;
      struck = true;
      const auto given = inject(fault);
      if (id) *id = given;
    });
  }
  static std::string c_url() { return "c-url://any/infer/" + std::string(kModel) + "?ttft=60s&tpot=2s"; }
  static std::uint64_t tokens_of(const std::vector<Seen>& seen) {
    std::uint64_t tokens = 0;
    for (const Seen& s : seen) tokens += s.chat.tokens();
    return tokens;
  }
  // Every call has one line, and what was billed is what arrived here.
  void expect_exact(std::uint64_t calls, std::uint64_t arrived) {
    const json books = settled([&](const json& t) { return t["calls"] == calls; });
    EXPECT_EQ(books["calls"], calls);
    EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
    EXPECT_EQ(books["tokens_delivered"], arrived);
    EXPECT_EQ(books["records_disputed"], 0);
  }
};

TEST_F(PoolFaults, ADriverResetStopsStreamsAndTheyGoOn) {
  start_pools(kFast, kFast);
  start_gateway();
  const auto seen = streams_with(8, 150, 200, {{"kind", "driver_reset"}, {"outage_ms", 300}});
  for (const Seen& s : seen) {
    EXPECT_EQ(s.chat.failure(true), "");
    EXPECT_EQ(s.chat.tokens(), 150u);
  }
  EXPECT_GE(model()["resumed"].get<int>(), 1);
  expect_exact(8, 8 * 150);
}

TEST_F(PoolFaults, OutOfMemoryBeforeTheFirstByteMovesCallsElsewhere) {
  start_pools("max_num_seqs = 2\n" + std::string(kFast), kFast);
  start_gateway();
  // Two run here, the others wait in the queue: those have not begun.
  const auto seen = streams_with(12, 120, 10, {{"kind", "out_of_memory"}});
  std::size_t elsewhere = 0;
  for (const Seen& s : seen) {
    EXPECT_EQ(s.status, 200) << s.body;
    EXPECT_EQ(s.chat.failure(true), "");
    EXPECT_EQ(s.chat.tokens(), 120u);
    elsewhere += s.pool == "far" ? 1 : 0;
  }
  EXPECT_GE(elsewhere, 5u);
  expect_exact(12, 12 * 120);
  EXPECT_LT(model()["kv_blocks_used"], model()["kv_blocks_total"]);
}

TEST_F(PoolFaults, ALostCardWithFewerLeftThatDo) {
  start_pools(kFast, kFast);
  start_gateway();
  const auto seen = streams_with(6, 120, 100, {{"kind", "card_lost"}, {"cards", 1}});
  for (const Seen& s : seen) {
    EXPECT_EQ(s.chat.failure(true), "");
    EXPECT_EQ(s.chat.tokens(), 120u);
  }
  EXPECT_EQ(model()["cards"], 2) << "a power of two of the three that are left";
  expect_exact(6, 6 * 120);
}

TEST_F(PoolFaults, LostCardsThatLeaveNoneEndStreamsWithATypedError) {
  start_pools(kFast, kFast);
  start_gateway();
  std::uint64_t fault = 0;
  const auto seen = streams_with(6, 400, 100, {{"kind", "card_lost"}, {"cards", 3}}, &fault);
  std::size_t broken = 0;
  for (const Seen& s : seen) {
    if (s.pool != "local") continue;
    ++broken;
    EXPECT_NE(s.chat.failure(true).find("card_lost"), std::string::npos) << s.chat.failure(true);
    EXPECT_LT(s.chat.tokens(), 400u);
  }
  EXPECT_GE(broken, 1u);
  expect_exact(6, tokens_of(seen));
  EXPECT_EQ(model()["phase"], "failed");
  // The next call does not even try there.
  const auto next = streams(1, chat_body(5, true, c_url()));
  EXPECT_EQ(next[0].pool, "far");
  EXPECT_EQ(next[0].chat.tokens(), 5u);
  // New cards: it comes back by itself.
  operate("DELETE", "/qanat/v1/faults/" + std::to_string(fault));
  for (int i = 0; i < 200 && model()["phase"] != "serving"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(model()["phase"], "serving");
  EXPECT_EQ(model()["cards"], 4);
}

TEST_F(PoolFaults, SlowCardsThrottlesAndBadLinksOnlySlowStreamsDown) {
  start_pools(kFast, kFast);
  start_gateway();
  const auto seconds = [&](const json& fault) {
    const auto id = fault.is_null() ? 0 : inject(fault);
    const auto begin = std::chrono::steady_clock::now();
    const auto seen = streams(4, chat_body(100, true, c_url()));
    for (const Seen& s : seen) {
      EXPECT_EQ(s.pool, "local");
      EXPECT_EQ(s.chat.failure(true), "");
      EXPECT_EQ(s.chat.tokens(), 100u);
    }
    if (id) operate("DELETE", "/qanat/v1/faults/" + std::to_string(id));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double sound = seconds(nullptr);
  EXPECT_GT(seconds({{"kind", "slow_card"}, {"factor", 0.25}}), 1.5 * sound);
  EXPECT_GT(seconds({{"kind", "link_degraded"}, {"factor", 0.02}}), 1.1 * sound);
  seconds({{"kind", "throttled"}, {"factor", 0.5}});
  expect_exact(16, 1600);
}

TEST_F(PoolFaults, LyingMetricsAreFoundOutByWhatCallsSee) {
  start_pools("time_scale = 0.5\n", kFast);
  start_gateway();
  inject({{"kind", "lying_metrics"}, {"factor", 0.02}});
  const std::string impatient = "c-url://any/infer/" + std::string(kModel) + "?tpot=60ms&ttft=10s";
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // the gateway has heard the lie
  const auto believed = streams(8, chat_body(12, true, impatient));
  EXPECT_GE(std::count_if(believed.begin(), believed.end(), [](const Seen& s) { return s.pool == "local"; }),
            4);
  const auto wiser = streams(6, chat_body(12, true, impatient));
  EXPECT_GE(std::count_if(wiser.begin(), wiser.end(), [](const Seen& s) { return s.pool == "far"; }), 4)
      << "the local pool still says it is fast";
}

}  // namespace
}  // namespace qanat::e2e
