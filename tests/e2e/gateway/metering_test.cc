// What is billed when pools, clients, disks and the gateway itself misbehave: tokens the client's socket took, no others,
// once. One gateway before a pool that does as the call says ("local") and one that answers well ("far").
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>
#include <thread>

#include "gateway/access/client/client.hh"
#include "tests/e2e/gateway/metering_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::int64_t kIn = 400, kCachedIn = 100, kOut = 1600;

struct Scenario {
  const char* script;
  bool stream;
  const char* pool;      // who answered it in the end
  const char* outcome;   //
  const char* source;    // of the count
  std::uint64_t tokens;  // billed, and with the client
  std::int64_t prompt;   // billed; −1: an estimate
  std::int64_t cached;
};

TEST_F(Metering, EveryWayAnAnswerCanGo) {
  const Scenario scenarios[] = {
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"", false, "local", "completed", "final", 5, 40, 30},
      {"missing_usage", true, "local", "completed", "counted", 5, -1, 0},
      {"missing_usage", false, "local", "completed", "estimated", 5, -1, 0},
      {"usage_on_content", true, "local", "completed", "continuous", 5, 40, 30},
      {"claims_too_much", true, "local", "completed", "final", 100, -2, 0},
      {"error_after_200", true, "local", "upstream_failed", "counted", 3, -1, 0},
      {"", true, "local", "completed", "final", 5, 40,
       30},  // a success between: the breaker counts failures in a row
      {"garbage", true, "local", "upstream_failed", "counted", 3, -1, 0},
      {"breaks_off", true, "local", "upstream_failed", "counted", 3, -1, 0},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"never_ends", true, "local", "upstream_failed", "counted", 100, -1, 0},
      {"", false, "local", "completed", "final", 5, 40, 30},
      {"status_500", true, "far", "completed", "final", 5, 40, 30},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"closes", false, "far", "completed", "final", 5, 40, 30},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"resets", true, "far", "completed", "final", 5, 40, 30},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"not_http", true, "far", "completed", "final", 5, 40, 30},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"endless_head", true, "far", "completed", "final", 5, 40, 30},
      {"", true, "local", "completed", "final", 5, 40, 30},
      {"silent", true, "far", "completed", "final", 5, 40, 30},
  };
  std::uint64_t calls = 0, tokens = 0;
  std::int64_t amount = 0;
  for (const Scenario& s : scenarios) {
    SCOPED_TRACE(std::string(s.script) + (s.stream ? " (stream)" : " (whole)"));
    const json request = body(s.script, s.stream);
    std::string pool;
    if (s.stream) {
      const Seen seen = streams(1, request).at(0);
      ASSERT_EQ(seen.status, 200) << seen.body;
      pool = seen.pool;
      const bool lies =
          std::string_view(s.script) == "claims_too_much" || std::string_view(s.script) == "never_ends";
      if (!lies) EXPECT_EQ(seen.chat.tokens(), s.tokens);
      EXPECT_EQ(seen.chat.done(), std::string_view(s.outcome) == "completed");
    } else {
      const auto answer = tenant("POST", "/v1/chat/completions", request.dump());
      ASSERT_EQ(answer.status, 200) << answer.body;
      pool = answer.headers.value_or("x-qanat-pool", "");
    }
    EXPECT_EQ(pool, s.pool);
    const json t = books(++calls);
    const json line = latest();
    EXPECT_EQ(line["outcome"], s.outcome) << line;
    EXPECT_EQ(line["usage_source"], s.source);
    EXPECT_EQ(line["tokens_out"], s.tokens);
    const std::int64_t prompt = line["tokens_in"], cached = line["tokens_cached"];
    if (s.prompt >= 0) EXPECT_EQ(prompt, s.prompt);
    // An estimate is about a quarter of the body; a claim beyond the body's bytes is cut there: the pool's own loss.
    if (s.prompt == -1)
      EXPECT_NEAR(double(prompt), double(request.dump().size()) / 4, double(request.dump().size()) / 4);
    if (s.prompt == -2) EXPECT_LE(prompt, std::int64_t(request.dump().size()) + 64);
    EXPECT_EQ(cached, s.cached);
    EXPECT_EQ(line["amount_nano"],
              (prompt - cached) * kIn + cached * kCachedIn + std::int64_t(s.tokens) * kOut);
    EXPECT_EQ(line["price"], "CNY:400:1600:100");
    tokens += s.tokens;
    amount += line["amount_nano"].get<std::int64_t>();
    EXPECT_EQ(t["tokens_billed"], tokens);
    EXPECT_EQ(t["total_nano"], amount);
  }
  EXPECT_EQ(latest()["tries"], 2) << "one line for the call, its tries beneath";
}

TEST_F(Metering, ARepeatIsAnsweredAndNotBilledAgain) {
  const auto ask = [&](const json& b, const std::string& key) {
    base::ClientRequest request{"POST",
                                "/v1/chat/completions",
                                {{"authorization", "Bearer " + key_}, {"idempotency-key", key}},
                                b.dump()};
    auto answer = base::fetch_blocking("http://127.0.0.1:" + std::to_string(port_), std::move(request));
    return answer ? *answer : base::ClientResponse{};
  };
  const auto first = ask(body("", false), "order-1");
  EXPECT_EQ(first.status, 200) << first.body;
  const auto again = ask(body("", false), "order-1");
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.headers.value_or("x-qanat-repeated", ""), "true");
  EXPECT_EQ(again.headers.value_or("x-qanat-call", ""), first.headers.value_or("x-qanat-call", "-"));
  EXPECT_EQ(ask(body("missing_usage", false), "order-1").status, 422) << "another request under the same key";
  EXPECT_EQ(ask(body("", true), "order-2").status, 200);
  const auto stream_again = ask(body("", true), "order-2");
  EXPECT_EQ(stream_again.status, 409) << "a stream is not kept, and not sent twice";
  EXPECT_EQ(stream_again.headers.value_or("x-should-retry", ""), "false");
  // While the first one runs: the second is told to come back, and neither computes nor pays.
  base::ClientResponse held;
  std::thread one([&] { held = ask(body("held", false), "order-4"); });
  for (int i = 0; i < 200 && pool_->calls() < 3; ++i) std::this_thread::sleep_for(milliseconds(10));
  const auto second = ask(body("held", false), "order-4");
  EXPECT_EQ(second.status, 409) << second.body;
  EXPECT_EQ(second.headers.value_or("x-should-retry", ""), "true");
  EXPECT_NE(second.headers.value_or("retry-after", ""), "");
  pool_->release();
  one.join();
  EXPECT_EQ(held.status, 200) << held.body;
  EXPECT_EQ(second.headers.value_or("x-qanat-call", ""), held.headers.value_or("x-qanat-call", "-"));
  EXPECT_EQ(ask(body("held", false), "order-4").body, held.body);
  // What delivered nothing may be asked again.
  json refused = body("", false);
  refused["model"] = "none";
  EXPECT_EQ(ask(refused, "order-3").status, 404);
  EXPECT_EQ(ask(body("", false), "order-3").status, 200);
  const json t = books(4);
  EXPECT_EQ(t["tokens_billed"], 20);
  EXPECT_EQ(pool_->calls(), 4u);
}

TEST_F(Metering, KilledAtAnyInstantItBillsWhatCameAndNothingTwice) {
  std::mt19937 random(7);
  std::uint64_t received = 0, in_doubt = 0, calls = 0;
  for (int round = 0; round < 4; ++round) {
    const std::uint64_t at = 1 + random() % 150;
    bool killed = false;
    const auto seen = streams(3, body("slow", true, 1000), 0, [&](std::uint64_t tokens) {
      if (killed || tokens < at) return;
      killed = true;
      gateway_->end(SIGKILL);
    });
    ASSERT_TRUE(killed);
    for (const Seen& s : seen) received += s.chat.tokens();
    in_doubt += 3;  // a frame each, whose write was under way
    calls += 3;
    start_gateway();
  }
  // A call that had not been dispatched has no line, and no tokens.
  const json t = settled([&](const json& totals) { return totals["calls"] <= calls; });
  EXPECT_EQ(t["sum_nano"], 0);
  EXPECT_LE(t["tokens_billed"], received + in_doubt);
  EXPECT_GE(t["tokens_billed"].get<std::uint64_t>() + in_doubt, received);
}

// The first pool is late with its first byte: a second is asked, the first answer counts, the other one is left and costs
// nothing; where all are late or the share is used up, the call waits.
TEST_F(Metering, ALateCallGoesToASecondPoolAndIsBilledOnce) {
  const Seen seen = streams(1, body("late")).at(0);
  EXPECT_EQ(seen.pool, "far");
  EXPECT_EQ(seen.chat.tokens(), 5u);
  json t = books(1);
  EXPECT_EQ(t["tokens_billed"], 5);
  json line = admin_json("/v1/calls/" + seen.call);
  EXPECT_EQ(line["tries"], 2) << "one line for the call, its tries beneath";
  EXPECT_EQ(line["outcome"], "completed");
  EXPECT_EQ(line["pool"], "far");
  for (int i = 0; i < 40 && pool_->left() == 0; ++i) std::this_thread::sleep_for(milliseconds(25));
  EXPECT_EQ(pool_->left(), 1u) << "the loser's request was ended";
  const std::string metrics = admin("GET", "/metrics").body;
  EXPECT_NE(metrics.find("qanat_gateway_hedges_total 1\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("qanat_gateway_hedges_won_total 1\n"), std::string::npos);
  // A whole answer: the same.
  const auto whole = tenant("POST", "/v1/chat/completions", body("late", false, 1).dump());
  EXPECT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.headers.value_or("x-qanat-pool", ""), "far");
  // Many at once: ten may, and a twentieth of the calls; the others wait for the pool they are at, and end well.
  for (const Seen& s : streams(24, body("late"))) EXPECT_EQ(s.chat.tokens(), 5u);
  t = books(26);
  EXPECT_EQ(t["tokens_billed"], 1 + 25 * 5);
  EXPECT_LE(other_->calls(), 2u + 10 + 2) << "hedges are bounded";
  EXPECT_GE(pool_->calls(), 26u);
  // Killed while both are asked: nothing was delivered, nothing is billed, and the books have it once at most.
  std::thread killer([&] {
    std::this_thread::sleep_for(milliseconds(500));
    gateway_->end(SIGKILL);
  });
  streams(2, body("late"));
  killer.join();
  start_gateway();
  t = settled([](const json& totals) { return totals["calls"] >= 28; });
  EXPECT_EQ(t["sum_nano"], 0);
  EXPECT_EQ(t["tokens_billed"], t["tokens_delivered"]);
}

TEST_F(Metering, AProgramOfATenantsOwn) {
  client::Access access;
  access.api = "http://127.0.0.1:" + std::to_string(port_);
  access.key = key_;
  const std::string any = "c-url://any/infer/" + std::string(kModel);
  const auto candidates = client::resolve(access, any);
  ASSERT_TRUE(candidates) << candidates.error().message;
  ASSERT_EQ(candidates->size(), 2u);
  EXPECT_EQ(candidates->front().instance, "local");
  EXPECT_TRUE(candidates->front().local);
  client::Chat chat;
  chat.model = any;
  chat.prompt = "carry water";
  std::string text;
  const auto answer = client::chat(access, chat, [&](std::string_view piece) {
    text += piece;
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(text, "word word word word word ");
  EXPECT_EQ(answer->completion_tokens, 5u);
  EXPECT_EQ(answer->prompt_tokens, 40u);
  EXPECT_EQ(answer->pool, "local");
  int pieces = 0;
  const auto left = client::chat(access, chat, [&](std::string_view) { return ++pieces < 2; });
  ASSERT_TRUE(left);
  EXPECT_NE(left->call, answer->call);
  const auto problem = [&](const client::Access& a, const std::string& model) {
    client::Chat c = chat;
    c.model = model;
    const auto none = client::chat(a, c, [](std::string_view) { return true; });
    return none ? client::Failure{} : none.error();
  };
  EXPECT_EQ(problem(access, "none").problem, client::Problem::NotFound);
  EXPECT_EQ(problem(access, "none").code, "model_not_found");
  EXPECT_EQ(problem(access, "c-url://any/infer/" + std::string(kModel) + "?cards=999").problem,
            client::Problem::Busy);
  EXPECT_EQ(problem(access, "c-url://").problem, client::Problem::Refused);
  client::Access stranger = access;
  stranger.key = "sk-qanat-none";
  EXPECT_EQ(problem(stranger, any).problem, client::Problem::NotAllowed);
  stranger.api = "http://127.0.0.1:9";
  EXPECT_EQ(problem(stranger, any).problem, client::Problem::NotReachable);
  EXPECT_FALSE(client::resolve(stranger, any));
  const char* bin = std::getenv("QANAT_BIN");
  const std::string example = "QANAT_GATEWAY=" + access.api + " QANAT_KEY=" + key_ + " " +
                              (bin != nullptr ? std::string(bin) + "/" : "") + "qanat-client-example '" +
                              any + "' 'carry water' 2>/dev/null | grep -q 'word word'";
  EXPECT_EQ(std::system(example.c_str()), 0) << example;
  books(3);
}

// The limit holds for files that grow: SQLite's log does, the journal, which is mapped, does not.
TEST_F(Metering, AFullDiskStopsNoCallAndLosesNoLine) {
  streams(1, body(""));
  books(1);
  struct rlimit full {};
  ASSERT_EQ(::prlimit(gateway_->pid(), RLIMIT_FSIZE, nullptr, &full), 0);
  const struct rlimit usual = full;
  full.rlim_cur = 1;
  ASSERT_EQ(::prlimit(gateway_->pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  for (const Seen& s : streams(4, body(""))) EXPECT_EQ(s.chat.tokens(), 5u);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(totals()["calls"], 1) << "nothing can be written now";
  EXPECT_GE(admin_json("/v1/status")["ledger_backlog"], 4);
  ASSERT_EQ(::prlimit(gateway_->pid(), RLIMIT_FSIZE, &usual, nullptr), 0);
  EXPECT_EQ(books(5)["tokens_billed"], 25) << "there is room again: the ledger catches up by itself";
  // Killed while full: the journal has the calls.
  ASSERT_EQ(::prlimit(gateway_->pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  streams(2, body(""));
  gateway_->end(SIGKILL);
  start_gateway();
  EXPECT_EQ(books(7)["tokens_billed"], 35);
}

// city ──> qanat-pool that adopted the second gateway ──> second gateway ──> far
TEST_F(Metering, ChainedGatewaysAgree) {
  // The second one is an OpenAI-compatible server to the pool, and the pool is one to the first.
  const unsigned inner_port = support::free_port(), adopted_port = support::free_port();
  const std::string inner_config = folder_.write(
      "inner.toml",
      "name = \"inner\"\nlocation = \"gz.cn\"\nlisten = [\"127.0.0.1:" + std::to_string(inner_port) +
          "\"]\nsocket = \"" + folder_.file("inner.sock") + "\"\nledger = \"" + folder_.file("inner.db") +
          "\"\njournal = \"" + folder_.file("inner-journal") +
          "\"\n[[pool]]\nurl = \"http://127.0.0.1:" + std::to_string(far_port_) + "\"\n");
  support::DaemonProcess inner("qanat-gateway", {"--config", inner_config}, folder_.file("inner.log"));
  inner.start();
  const auto inner_admin = [&](const std::string& method, const std::string& target,
                               const std::string& text) {
    for (int i = 0; i < 100; ++i) {
      auto answer = base::fetch_blocking("unix:" + folder_.file("inner.sock"), {method, target, {}, text});
      if (answer) return json::parse(answer->body);
      std::this_thread::sleep_for(milliseconds(50));
    }
    return json();
  };
  const json key = inner_admin("POST", "/v1/keys", R"({"tenant":"city"})");
  ASSERT_TRUE(key.contains("key")) << inner.log();
  const std::string key_file = folder_.write("inner.key", key["key"].get<std::string>());
  const std::string adopted_config = folder_.write(
      "adopted.toml",
      "id = \"chained\"\nprovider = \"pml\"\nlocation = \"far2.gz.cn\"\nsite = \"far2\"\nlisten = "
      "\"127.0.0.1:" +
          std::to_string(adopted_port) + "\"\nusage_db = \"" + folder_.file("adopted.db") +
          "\"\ncards = \"L20\"\ncount = 2\n[price]\ninput = 400\noutput = 1600\n[adopt]\nurl = "
          "\"http://127.0.0.1:" +
          std::to_string(inner_port) +
          "\"\nlevel = \"schedulable\"\nprobe_interval = \"200ms\"\nkey_file = \"" + key_file + "\"\n");
  support::DaemonProcess adopted("qanat-pool", {"--config", adopted_config}, folder_.file("adopted.log"));
  adopted.start();
  gateway_->end(SIGTERM);
  gateway_.reset();
  const unsigned far = std::exchange(far_port_, adopted_port);
  start_gateway();
  json through = body("", true);
  through["model"] = "c-url://far2.gz.cn/infer/" + std::string(kModel);
  Seen seen;
  for (int i = 0; i < 60 && seen.status != 200; ++i) {
    seen = streams(1, through).at(0);
    if (seen.status != 200) std::this_thread::sleep_for(milliseconds(100));
  }
  ASSERT_EQ(seen.status, 200) << seen.body << admin_json("/v1/calls/" + seen.call) << adopted.log()
                              << inner.log();
  EXPECT_EQ(seen.pool, "chained");
  EXPECT_EQ(seen.chat.tokens(), 5u);
  json line;
  for (int i = 0; i < 60; ++i) {
    line = admin_json("/v1/calls?limit=1").at(0);
    if (line["call"] == seen.call && line["outcome"] == "completed") break;
    std::this_thread::sleep_for(milliseconds(50));
  }
  json inner_line;
  for (int i = 0; i < 60 && inner_line.is_null(); ++i) {
    const json lines = inner_admin("GET", "/v1/calls?limit=1", "");
    if (!lines.empty()) inner_line = lines.at(0);
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(line["tokens_out"], 5);
  EXPECT_EQ(line["tokens_in"], 40);
  EXPECT_EQ(inner_line["tokens_out"], line["tokens_out"]) << "both ends of the chain";
  EXPECT_EQ(inner_line["tokens_in"], line["tokens_in"]);
  EXPECT_EQ(inner_line["tokens_cached"], line["tokens_cached"]);
  EXPECT_EQ(inner_line["decision"]["request_id"], seen.call) << "the two lines of one call";
  // Its tier and its priority reach the end of the chain.
  through["model"] = "c-url://far2.gz.cn/infer/" + std::string(kModel) + "?tier=bulk";
  through["priority"] = 7;
  EXPECT_EQ(streams(1, through).at(0).chat.tokens(), 5u);
  EXPECT_NE(other_->last_request().find("x-qanat-tier: bulk"), std::string::npos) << other_->last_request();
  EXPECT_NE(other_->last_request().find("\"priority\":7"), std::string::npos) << other_->last_request();
  // A client that leaves is gone at every link: nobody computes on, and what each delivered is at most one frame apart.
  other_ = nullptr;
  other_ = std::make_unique<ScriptedPool>("far", far, true);
  through["x_script"] = "drip";
  through["max_tokens"] = 2000;
  Seen left;
  for (int i = 0; i < 100 && left.status != 200; ++i) {
    left = streams(1, through, 5).at(0);
    if (left.status != 200) std::this_thread::sleep_for(milliseconds(100));
  }
  ASSERT_EQ(left.status, 200) << left.body;
  const auto ended = [&](const json& lines) {
    return !lines.empty() && lines.at(0)["outcome"] == "client_gone" ? lines.at(0) : json();
  };
  line = inner_line = nullptr;
  for (int i = 0; i < 100 && (line.is_null() || inner_line.is_null()); ++i) {
    line = ended(admin_json("/v1/calls?limit=1"));
    inner_line = ended(inner_admin("GET", "/v1/calls?limit=1", ""));
    std::this_thread::sleep_for(milliseconds(50));
  }
  ASSERT_FALSE(line.is_null() || inner_line.is_null());
  EXPECT_EQ(inner_line["decision"]["request_id"], left.call);
  const auto outer_tokens = line["tokens_out"].get<std::int64_t>();
  EXPECT_GE(outer_tokens, 5);
  EXPECT_LE(outer_tokens, 10);
  EXPECT_GE(inner_line["tokens_out"].get<std::int64_t>(), outer_tokens);
  EXPECT_LE(inner_line["tokens_out"].get<std::int64_t>(), outer_tokens + 3) << "what was on its way";
  far_port_ = far;
}

}  // namespace
}  // namespace qanat::e2e
