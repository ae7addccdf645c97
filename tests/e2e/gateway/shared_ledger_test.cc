// Three gateways, one ledger in PostgreSQL: keys, books and budgets are everybody's, a gateway that is killed strands its
// slices and no more, a PostgreSQL that is gone stops no call. The server is the test's own, on a Unix socket.
//
//   tenant ── http ──> city ──┐
//             ├──────> east ──┼──> pool          each ──> PostgreSQL
//             └──────> west ──┘
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"
#include "tests/e2e/gateway/scripted_pool.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// A cluster of its own; durability is not what is tested here, so nothing waits for the disk.
class PrivatePostgres {
 public:
  explicit PrivatePostgres(const std::string& folder) : folder_(folder) {
    for (int version = 20; version >= 13 && programs_.empty(); --version) {
      const std::string at = "/usr/lib/postgresql/" + std::to_string(version) + "/bin";
      if (std::filesystem::exists(at + "/postgres")) programs_ = at;
    }
    if (programs_.empty()) return;
    std::filesystem::create_directories(folder_);
    // PostgreSQL refuses to be root.
    if (::getuid() == 0) {
      const passwd* who = ::getpwnam("postgres");
      if (!who) {
        programs_.clear();
        return;
      }
      user_ = who->pw_uid;
      group_ = who->pw_gid;
      if (::chown(folder_.c_str(), user_, group_) != 0) {
        programs_.clear();
        return;
      }
    }
    const pid_t made = run({programs_ + "/initdb", "-D", folder_ + "/data", "-A", "trust", "-U", "qanat",
                            "-N", "--no-instructions", "-E", "UTF8", "--locale=C"});
    int status = -1;
    ::waitpid(made, &status, 0);
    if (status != 0) programs_.clear();
  }
  ~PrivatePostgres() { stop(); }
  bool available() const { return !programs_.empty(); }
  void start() {
    pid_ = run({programs_ + "/postgres", "-D", folder_ + "/data", "-k", folder_, "-h", "", "-c", "fsync=off",
                "-c", "shared_buffers=8MB"});
    // The socket is there before the server takes anybody; its last line in this file says when it does.
    const auto ready = [&] {
      std::ifstream file(folder_ + "/data/postmaster.pid");
      const std::string text((std::istreambuf_iterator<char>(file)), {});
      return text.find("\nready") != std::string::npos;
    };
    for (int i = 0; i < 400 && !ready(); ++i) std::this_thread::sleep_for(milliseconds(50));
  }
  // At once, connections and all.
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGQUIT);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
    std::filesystem::remove(folder_ + "/.s.PGSQL.5432");
    std::filesystem::remove(folder_ + "/data/postmaster.pid");
  }
  std::string ledger() const { return "postgres:host=" + folder_ + " dbname=postgres user=qanat"; }

 private:
  pid_t run(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const std::string log = folder_ + ".log";
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    if (!std::freopen(log.c_str(), "a", stdout) || !std::freopen(log.c_str(), "a", stderr)) ::_exit(126);
    if (user_ != 0 && (::setgroups(0, nullptr) != 0 || ::setgid(group_) != 0 || ::setuid(user_) != 0))
      ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // a test that is killed leaves no server behind
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  std::string folder_, programs_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  pid_t pid_ = 0;
};

class SharedLedger : public GatewayLab {
 protected:
  struct Gateway {
    std::string name;
    unsigned port = 0;
    std::unique_ptr<support::DaemonProcess> process;
  };

  void SetUp() override {
    GatewayLab::SetUp();
    if (IsSkipped()) return;
    ::chmod(std::filesystem::path(folder_.file("x")).parent_path().c_str(), 0755);
    postgres_ = std::make_unique<PrivatePostgres>(folder_.file("pg"));
    if (!postgres_->available())
      GTEST_SKIP() << "PostgreSQL's server is not installed, or cannot make a cluster here";
    postgres_->start();
    local_port_ = support::free_port();
    pool_ = std::make_unique<ScriptedPool>("local", local_port_, true);
    for (const char* name : {"city", "east", "west"}) {
      Gateway& g = gateways_.emplace_back();
      g.name = name;
      g.port = support::free_port();
      const std::string config = folder_.write(
          g.name + ".toml", "name = \"" + g.name +
                                "\"\nsite = \"city\"\nlocation = \"gz.cn\"\nlisten = [\"127.0.0.1:" +
                                std::to_string(g.port) + "\"]\nsocket = \"" + folder_.file(g.name + ".sock") +
                                "\"\njournal = \"" + folder_.file(g.name + ".journal") +
                                "\"\n[budgets]\nnear_percent = 40\n[[pool]]\nurl = \"http://127.0.0.1:" +
                                std::to_string(local_port_) + "\"\nlocal = true\n");
      g.process = std::make_unique<support::DaemonProcess>(
          "qanat-gateway", std::vector<std::string>{"--config", config, "--ledger", postgres_->ledger()},
          folder_.file(g.name + ".log"));
      start(g);
    }
  }
  void start(Gateway& g) {
    g.process->start();
    for (int i = 0; i < 200; ++i) {
      const json status = ask(g, "GET", "/v1/status");
      if (status.value("pools_fresh", 0) == 1) return;
      std::this_thread::sleep_for(milliseconds(50));
    }
    FAIL() << g.process->log();
  }
  json ask(const Gateway& g, const std::string& method, const std::string& target,
           const std::string& body = "") {
    const auto answer =
        base::fetch_blocking("unix:" + folder_.file(g.name + ".sock"), {method, target, {}, body});
    return answer ? json::parse(answer->body, nullptr, false) : json::object();
  }
  int call(const Gateway& g, const json& body) {
    const auto answer = base::fetch_blocking(
        "http://127.0.0.1:" + std::to_string(g.port),
        {"POST", "/v1/chat/completions", {{"authorization", "Bearer " + key_}}, body.dump()});
    return answer ? answer->status : 0;
  }
  // What a call can cost at most: a token for each byte and 64 more, at 400, and its answer, at 1600.
  static std::int64_t most_of(const json& body) {
    return static_cast<std::int64_t>(body.dump().size() + 64) * 400 + 5 * 1600;
  }
  // The key, made at one gateway, is good at all of them within a second.
  void until_known(json body) {
    body.erase("x_script");
    std::this_thread::sleep_for(milliseconds(700));  // the budget too, which nobody sees from outside
    for (Gateway& g : gateways_) {
      int status = 0;
      for (int i = 0; i < 20 && status != 200; ++i) {
        status = call(g, body);
        if (status != 200) std::this_thread::sleep_for(milliseconds(50));
      }
      EXPECT_EQ(status, 200) << g.process->log();
      ++known_;
    }
  }
  json books(const Gateway& g, std::uint64_t calls) {
    json totals;
    for (int i = 0; i < 200; ++i) {
      totals = ask(g, "GET", "/v1/ledger/totals");
      if (totals.value("calls", 0u) >= calls) break;
      std::this_thread::sleep_for(milliseconds(50));
    }
    EXPECT_EQ(totals.value("sum_nano", -1), 0) << totals << g.process->log();
    EXPECT_EQ(totals["tokens_billed"], totals["tokens_delivered"]);
    return totals;
  }

  // Leaves of the gateway's own audit tree, each with its call as it is in the books.
  std::uint64_t audited(const Gateway& g) {
    ask(g, "POST", "/v1/audit/checkpoint");
    std::uint64_t next = 0;
    for (json page;
         !(page = ask(g, "GET", "/v1/audit/leaves?from=" + std::to_string(next)))["leaves"].empty();)
      for (const json& leaf : page["leaves"]) {
        EXPECT_EQ(leaf["row"], "same") << leaf;
        EXPECT_EQ(leaf["number"], next++);
      }
    EXPECT_EQ(ask(g, "GET", "/v1/audit/checkpoint")["size"], next) << g.name;
    return next;
  }

  std::unique_ptr<PrivatePostgres> postgres_;
  std::unique_ptr<ScriptedPool> pool_;
  std::vector<Gateway> gateways_;
  int known_ = 0;  // calls that until_known made
};

TEST_F(SharedLedger, AThousandCallsAtOnceDoNotOverdrawABudgetOverThreeGateways) {
  key_ = ask(gateways_[0], "POST", "/v1/keys", R"({"tenant":"lab"})").value("key", "");
  json body = chat_body(5, false);
  body["x_script"] = "held";  // all of them are under way at once, however long that takes
  const std::int64_t most = most_of(body), limit = most * 400;
  ask(gateways_[1], "PUT", "/v1/budgets", json{{"account", "lab"}, {"limit_nano", limit}}.dump());
  until_known(body);
  const std::uint64_t before = pool_->calls();
  std::atomic<int> done{0}, refused{0}, lost{0};
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < 1000; ++i)
    callers.emplace_back([&, i] {
      const int status = call(gateways_[i % 3], body);
      ++(status == 200 ? done : status == 429 ? refused : lost);
    });
  for (int i = 0; i < 300 && pool_->calls() - before + static_cast<unsigned>(refused + lost) < 1000; ++i)
    std::this_thread::sleep_for(milliseconds(50));
  const json killed = ask(gateways_[2], "GET", "/v1/budgets").at(0);
  gateways_[2].process->end(SIGKILL);
  pool_->release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_LE(done, 400) << "no more were held for than the budget has room for";
  EXPECT_GE(refused, 1000 - 400 - lost);
  EXPECT_GT(done, 100);
  const json totals = books(gateways_[0], static_cast<std::uint64_t>(done));
  EXPECT_LE(totals.at("total_nano").get<std::int64_t>(), limit);
  EXPECT_EQ(totals.at("tokens_billed"), (done + known_) * 5) << "the killed one delivered nothing";

  // Stranded are the killed one's slices and nothing else: all the rest can be held at once at the two that live, but
  // for less than a slice and a call at each.
  const std::int64_t stranded =
      killed.at("slice_nano").get<std::int64_t>() - killed.at("spent_nano").get<std::int64_t>();
  const std::int64_t free = limit - totals.at("total_nano").get<std::int64_t>() - stranded;
  pool_->hold();
  const std::uint64_t again = pool_->calls();
  refused = lost = 0;
  callers.clear();
  for (std::size_t i = 0; i < 500; ++i)
    callers.emplace_back([&, i] { ++(call(gateways_[i % 2], body) == 429 ? refused : lost); });
  for (int i = 0; i < 300 && pool_->calls() - again + static_cast<unsigned>(refused) < 500; ++i)
    std::this_thread::sleep_for(milliseconds(50));
  const auto held = static_cast<std::int64_t>(pool_->calls() - again);
  pool_->release();
  for (std::thread& caller : callers) caller.join();
  const std::int64_t slice = std::max(limit / 64, most);
  EXPECT_GE(held * most, free - 2 * (slice + most)) << killed << free;
  EXPECT_LE(held * most, limit - totals.at("total_nano").get<std::int64_t>());
}

TEST_F(SharedLedger, AKilledGatewayStrandsItsSlicesAndGivesThemBackWhenItRunsAgain) {
  key_ = ask(gateways_[0], "POST", "/v1/keys", R"({"tenant":"lab"})").value("key", "");
  const json body = chat_body(5, false);
  const std::int64_t most = most_of(body), limit = most * 40, slice = std::max(limit / 64, most);
  ask(gateways_[1], "PUT", "/v1/budgets", json{{"account", "lab"}, {"limit_nano", limit}}.dump());
  until_known(body);
  std::atomic<int> next{0}, refused{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i)
    callers.emplace_back([&] {
      for (int n; (n = next++) < 600;) {
        if (call(gateways_[static_cast<std::size_t>(n % 3)], body) == 429) ++refused;
        if (n == 60) gateways_[2].process->end(SIGKILL);
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(refused, 0) << "the budget was used up";
  const auto spent = [&] {
    for (int i = 0; i < 60; ++i) {
      bool all = true;
      for (const Gateway& g : gateways_)
        all = all && ask(g, "GET", "/v1/status").value("ledger_backlog", 0) == 0;
      if (all) break;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return books(gateways_[0], 1).at("total_nano").get<std::int64_t>();
  };
  EXPECT_LE(spent(), limit) << "overshoot is 0";
  // What nobody could spend: less than a slice at each living gateway, at the dead one a slice for each call it had.
  EXPECT_GE(spent(), limit - 2 * slice - 7 * slice);
  start(gateways_[2]);
  for (Gateway& g : gateways_)
    while (call(g, body) == 200) {
    }
  EXPECT_LE(spent(), limit);
  EXPECT_GE(spent(), limit - 3 * slice) << "what it held is everybody's again";
  // Revoked at one, refused at all within a second.
  const json keys = ask(gateways_[0], "GET", "/v1/keys");
  ask(gateways_[0], "DELETE", "/v1/keys/" + keys.at(0).at("id").get<std::string>());
  std::this_thread::sleep_for(milliseconds(1000));
  for (Gateway& g : gateways_) EXPECT_EQ(call(g, body), 401) << g.name;
}

TEST_F(SharedLedger, ABudgetNearItsEndStandsAtAllAndIsToldByOne) {
  key_ = ask(gateways_[0], "POST", "/v1/keys", R"({"tenant":"lab"})").value("key", "");
  const json body = chat_body(5, false);
  until_known(body);
  const std::int64_t cost = books(gateways_[0], 3).at("total_nano").get<std::int64_t>() / 3;
  ask(gateways_[1], "PUT", "/v1/budgets", json{{"account", "lab"}, {"limit_nano", cost * 100}}.dump());
  std::this_thread::sleep_for(milliseconds(1200));
  const auto header = [&](const Gateway& g) {
    const auto answer = base::fetch_blocking(
        "http://127.0.0.1:" + std::to_string(g.port),
        {"POST", "/v1/chat/completions", {{"authorization", "Bearer " + key_}}, body.dump()});
    EXPECT_TRUE(answer && answer->status == 200);
    const std::string* text = answer ? answer->headers.find("x-qanat-budget") : nullptr;
    return text ? *text : std::string();
  };
  const auto alert = [&](const Gateway& g) {
    const auto answer =
        base::fetch_blocking("http://127.0.0.1:" + std::to_string(g.port),
                             {"GET", "/qanat/v1/usage", {{"authorization", "Bearer " + key_}}, ""});
    return answer ? json::parse(answer->body)["budgets"]["tenant"] : json();
  };
  const auto told = [&](const Gateway& g) {
    const auto answer =
        base::fetch_blocking("unix:" + folder_.file(g.name + ".sock"), {"GET", "/metrics", {}, ""});
    return answer &&
           answer->body.find("qanat_gateway_budget_alerts_total{percent=\"40\"} 1") != std::string::npos;
  };
  for (int i = 0; i < 17; ++i)
    for (std::size_t g = 0; g < 2; ++g) EXPECT_EQ(header(gateways_[g]), "") << i;
  std::this_thread::sleep_for(milliseconds(1200));
  for (const Gateway& g : gateways_) {
    EXPECT_TRUE(alert(g)["alert"].is_null()) << g.name << alert(g);
    EXPECT_FALSE(told(g)) << "37 of 100 are spent";
  }
  for (int i = 0; i < 4; ++i)
    for (std::size_t g = 0; g < 2; ++g) header(gateways_[g]);
  for (const Gateway& g : gateways_) {
    json now;
    for (int i = 0; i < 40 && (now = alert(g))["alert"].is_null(); ++i)
      std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(now["alert"], 40) << g.name << now;
    EXPECT_LT(now["spent_nano"].get<std::int64_t>(), cost * 30) << "not by this one's spending alone";
    EXPECT_EQ(header(g), "40;account=\"lab\"") << g.name;
  }
  std::this_thread::sleep_for(milliseconds(600));
  int tellers = 0;
  for (const Gateway& g : gateways_) tellers += told(g);
  EXPECT_EQ(tellers, 1) << "once, whoever came first";
  gateways_[0].process->end(SIGKILL);
  start(gateways_[0]);
  std::this_thread::sleep_for(milliseconds(1200));
  EXPECT_EQ(alert(gateways_[0])["alert"], 40);
  EXPECT_FALSE(told(gateways_[0])) << "it has been told";
}

// Two and a half seconds stand for thirty (QANAT_POSTGRES_GONE_S=30 is the whole of it): what counts is that connections
// die, that new ones are refused, and that calls go on.
TEST_F(SharedLedger, PostgresGoneStopsNoCallAndLosesNoLine) {
  const char* asked = std::getenv("QANAT_POSTGRES_GONE_S");
  const milliseconds gone = asked == nullptr ? milliseconds(2500) : milliseconds(1000 * std::atoi(asked));
  key_ = ask(gateways_[0], "POST", "/v1/keys", R"({"tenant":"lab"})").value("key", "");
  const json body = chat_body(5, false);
  until_known(body);
  EXPECT_EQ(books(gateways_[1], 3)["tokens_billed"], 15);
  postgres_->stop();
  const auto until = std::chrono::steady_clock::now() + gone;
  std::uint64_t calls = 3;
  while (std::chrono::steady_clock::now() < until) {
    for (Gateway& g : gateways_) {
      EXPECT_EQ(call(g, body), 200) << g.name;
      ++calls;
    }
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_GT(ask(gateways_[0], "GET", "/v1/status").value("ledger_backlog", 0), 0);
  gateways_[2].process->end(SIGKILL);  // what it could not write is in its journal
  postgres_->start();
  start(gateways_[2]);
  const json totals = books(gateways_[0], calls);
  EXPECT_EQ(totals["calls"], calls);
  EXPECT_EQ(totals["tokens_billed"], calls * 5) << "none unbilled, none billed twice";
  std::uint64_t leaves = 0;
  for (const Gateway& g : gateways_) leaves += audited(g) - 1;
  EXPECT_EQ(leaves, calls) << "a leaf for each, in one tree";
}

}  // namespace
}  // namespace qanat::e2e
