// Who may have a pool's place and who gives way, and what a budget lets in: at a real gateway and two real pools.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "base/hex.hh"
#include "gateway/jobs/artefact/ticket.hh"
#include "tests/e2e/gateway/jobs_world.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

class JobsQueue : public JobsWorld {
 protected:
  // A fine-tune that would take hours.
  std::string tune(const std::string& file, const std::string& priority, const json& pools = json::array(),
                   const std::string& key = "") {
    const json wanted{
        {"model", kModel},
        {"training_file", file},
        {"x_qanat", {{"priority", priority}, {"pools", pools}, {"dataset_tokens", 4'000'000'000}}}};
    const json job = call("POST", "/v1/fine_tuning/jobs", wanted, key);
    EXPECT_EQ(job["http"], 200) << job.dump();
    return "/v1/fine_tuning/jobs/" + job.value("id", "none");
  }
  // Where it runs, once it runs at another pool than `not_at`.
  std::string runs(const std::string& job, const std::string& not_at = "", const std::string& key = "") {
    const json j = wait_for(
        job,
        [&](const json& said) {
          return has(said, "status", "running") && said["x_qanat"]["ran_at"] != not_at;
        },
        15, key);
    return j.contains("x_qanat") ? j["x_qanat"].value("ran_at", "") : "";
  }
  std::string events(const std::string& job) { return call("GET", job + "/events").dump(); }
  // As `qanat job show` prints it.
  std::string shown(const std::string& job) {
    const char* bin = std::getenv("QANAT_BIN");
    const std::string line = "QANAT_GATEWAY=" + url(port_) + " QANAT_KEY=" + key_ + " timeout 20 " +
                             std::string(bin ? bin : ".") + "/qanat job show " +
                             job.substr(job.rfind('/') + 1) + " 2>&1";
    std::string out;
    FILE* pipe = ::popen(line.c_str(), "r");
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
    EXPECT_EQ(::pclose(pipe), 0) << out;
    return out;
  }
  json budget(const std::string& account) {
    for (const json& one : admin_json("/v1/budgets"))
      if (one["account"] == account) return one;
    return json{};
  }
  void set_budget(const std::string& account, std::int64_t nano) {
    EXPECT_EQ(admin("PUT", "/v1/budgets", json{{"account", account}, {"limit_nano", nano}}.dump()).status,
              200);
  }
  json services() { return call("GET", "/qanat/v1/services"); }
  // The connection.
  int ask_and_not_wait(const std::string& what) {
    const int to = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(to, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string request = what + " HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer " + key_ +
                                "\r\ncontent-length: 0\r\n\r\n";
    EXPECT_EQ(::send(to, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    return to;
  }
};

TEST_F(JobsQueue, ThePreemptedGoOnInAnotherRegionAndLentPlacesAreTakenBack) {
  start("[[artefacts.quota]]\ntenant = \"clinic\"\njobs = 1\n", "time_scale = 500\n");
  const std::string file = put("wards", 200'000), theirs = put("rounds", 100'000, clinic_);
  const std::string low = tune(file, "low");
  const std::string first = runs(low);
  const std::string normal = tune(file, "normal");
  const std::string other = runs(normal);
  ASSERT_NE(first, other);
  wait_for(
      low, [](const json& j) { return j["x_qanat"].value("step", 0) > 0; }, 10);

  // Every place is taken: the low one is snapshotted, and waits for a pool.
  const std::string high = tune(file, "high", {first});
  EXPECT_EQ(runs(high), first);
  const json waiting = wait_for(
      low, [](const json& j) { return has(j, "status", "queued"); }, 10);
  EXPECT_EQ(waiting["x_qanat"]["preempted"], 1);
  const auto kept = waiting["x_qanat"]["safe_step"].get<std::uint64_t>();
  EXPECT_GT(kept, 0u);
  EXPECT_EQ(call("GET", normal)["x_qanat"]["preempted"], 0);

  // The other region's pool is idle now: it goes on there, from the step that was kept.
  EXPECT_EQ(call("POST", normal + "/cancel")["status"], "cancelled");
  EXPECT_EQ(runs(low, first), other);
  const std::string told = shown(low);
  for (const std::string& line :
       {"Gives way at " + first + ": a job of higher priority needs the place",
        "Gave way at step " + std::to_string(kept) + ", which is kept",
        "Runs at " + other + " from step " + std::to_string(kept), std::string("gave way 1 times")})
    EXPECT_NE(told.find(line), std::string::npos) << line << "\n" << told;

  // One of the two places that this tenant has now is the clinic's: it comes, of no higher priority, and gets it.
  const std::string owner = tune(theirs, "low", json::array(), clinic_);
  EXPECT_EQ(runs(owner, "", clinic_), other);
  EXPECT_NE(events(low).find("the place was borrowed, and its owner needs it"), std::string::npos);
  EXPECT_EQ(call("GET", high)["status"], "running") << "only the borrowed one gives way";
  // Who runs the gateway sees all three, whosesoever they are, and may end one.
  EXPECT_EQ(admin_json("/v1/tasks").size(), 3u) << admin_json("/v1/tasks").dump(2);
  EXPECT_EQ(admin("DELETE", "/v1/tasks/" + high.substr(high.rfind('/') + 1)).status, 200);
  EXPECT_EQ(admin("DELETE", "/v1/tasks/none").status, 404);
  EXPECT_EQ(call("GET", high)["status"], "cancelled");
  EXPECT_EQ(runs(low, other), first) << "moved again";
  EXPECT_EQ(call("GET", low)["x_qanat"]["preempted"], 2);
  EXPECT_EQ(call("POST", low + "/cancel")["status"], "cancelled");

  // Each step that was kept is paid once, to the pool that trained it: its stays have no gap.
  std::uint64_t paid = 0;
  const json bill = services();
  for (const json& line : bill["lines"])
    if (line["subject"] == low.substr(low.rfind('/') + 1)) paid += line["quantity"].get<std::uint64_t>();
  const json last = call("GET", low);
  EXPECT_EQ(paid, last["x_qanat"]["safe_step"].get<std::uint64_t>() *
                      last["x_qanat"]["tokens_per_step"].get<std::uint64_t>());
}

TEST_F(JobsQueue, ABudgetHoldsWhatTransfersAndFineTunesMayCost) {
  start("peak_nano_per_mb = 1000000\n", "time_scale = 500\n");
  const std::string file = put("wards", 3'000'000);
  const auto send = [&](const std::string& site) {
    return call("POST", "/qanat/v1/transfers",
                {{"dataset", file}, {"site", site}, {"by_unix_ms", unix_ms() + 60'000}});
  };
  // 3 MB cost 3,0xx,xxx nano: refused a little below that, with the account and what is left of it.
  set_budget("lab/default", 2'900'000);
  const json no = send("far");
  EXPECT_EQ(no["http"], 429) << no.dump();
  EXPECT_EQ(no["error"]["code"], "insufficient_quota");
  EXPECT_EQ(no["account"], "lab/default");
  EXPECT_EQ(no["left_nano"], 2'900'000);
  EXPECT_GT(no["needed_nano"].get<std::int64_t>(), 2'900'000);
  EXPECT_NE(no["error"]["hint"].get<std::string>().find("budget of lab/default"), std::string::npos);
  EXPECT_EQ(budget("lab/default")["held_nano"], 0) << "what is refused holds nothing";

  set_budget("lab/default", 4'000'000);
  const json yes = send("far");
  ASSERT_EQ(yes["http"], 201) << yes.dump();
  const json done = wait_for(
      "/qanat/v1/transfers/" + yes["id"].get<std::string>(),
      [](const json& j) { return has(j, "state", "done"); }, 20);
  EXPECT_EQ(done["price_nano"], yes["quoted_nano"]) << "what was quoted is the most that it costs";
  EXPECT_EQ(budget("lab/default")["spent_nano"], done["price_nano"]);
  EXPECT_EQ(budget("lab/default")["held_nano"], 0);
  EXPECT_EQ(send("local")["http"], 429) << "the rest does not do for a second one";

  // A fine-tune may cost its tokens at the dearest pool that it may run at; what is not trained is given back.
  const json wanted{{"model", kModel},
                    {"training_file", file},
                    {"x_qanat", {{"dataset_tokens", 400'000'000}, {"checkpoint_steps", 20}}}};
  const json dear = call("POST", "/v1/fine_tuning/jobs", wanted);
  EXPECT_EQ(dear["http"], 429) << dear.dump();
  EXPECT_EQ(dear["needed_nano"].get<std::int64_t>(), 400'000'000LL * 400);
  const std::int64_t limit = 400'000'000LL * 400 + 4'000'000;
  set_budget("lab/default", limit);
  const json job = call("POST", "/v1/fine_tuning/jobs", wanted);
  ASSERT_EQ(job["http"], 200) << job.dump();
  const std::string at = "/v1/fine_tuning/jobs/" + job["id"].get<std::string>();
  wait_for(
      at, [](const json& j) { return j["x_qanat"].value("safe_step", 0) > 0; }, 15);
  EXPECT_EQ(budget("lab/default")["held_nano"].get<std::int64_t>(), 400'000'000LL * 400);

  // kill -9: what is spent and what is held are what they were.
  gateway_->end(SIGKILL);
  gateway_->start();
  wait_for_pools(2);
  for (int i = 0; i < 200 && budget("lab/default")["held_nano"] == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  EXPECT_EQ(budget("lab/default")["held_nano"].get<std::int64_t>(), 400'000'000LL * 400);
  EXPECT_EQ(budget("lab/default")["spent_nano"], done["price_nano"]);
  EXPECT_EQ(call("POST", at + "/cancel")["status"], "cancelled");
  EXPECT_EQ(budget("lab/default")["held_nano"], 0);
  EXPECT_EQ(budget("lab/default")["spent_nano"], services()["total_nano"]);
}

// A placeholder is a gateway's own: without its signature nobody binds, wakes or releases one.
// Killed at random instants around the end of jobs that go on: what was trained is in the books once, without a gap.
TEST_F(JobsQueue, AKillWhileAJobEndsBillsNoStepTwice) {
  start("", "time_scale = 500\n");
  const std::string file = put("wards", 100'000);
  set_budget("lab/default", 1'000'000'000'000'000);
  const auto safe_step = [](const json& j) {
    return j.value("x_qanat", json::object()).value("safe_step", std::uint64_t{0});
  };
  std::srand(7);
  for (int round = 0; round < 6; ++round) {
    const json job = call("POST", "/v1/fine_tuning/jobs",
                          {{"model", kModel},
                           {"training_file", file},
                           {"x_qanat", {{"dataset_tokens", 400'000'000}, {"checkpoint_steps", 2}}}});
    ASSERT_EQ(job["http"], 200) << job.dump();
    const std::string id = job["id"].get<std::string>(), at = "/v1/fine_tuning/jobs/" + id;
    wait_for(
        at, [&](const json& j) { return safe_step(j) > 0; }, 15);
    const int asked = ask_and_not_wait("POST " + at + "/cancel");
    std::this_thread::sleep_for(std::chrono::microseconds(std::rand() % 12'000));
    gateway_->end(SIGKILL);
    ::close(asked);
    gateway_->start();
    wait_for_pools(2);
    const json over = wait_for(
        at,
        [&](const json& j) {
          return has(j, "status", "cancelled") ||
                 (safe_step(j) > 4 && has(call("POST", at + "/cancel"), "status", "cancelled"));
        },
        20);
    std::map<std::uint64_t, std::uint64_t> billed;  // from step to step
    std::uint64_t tokens = 0;
    const json booked = services();
    for (const json& line : booked["lines"]) {
      const std::string name = line["id"].get<std::string>();
      if (!name.starts_with(id + ":")) continue;
      const std::string steps = name.substr(id.size() + 1);
      EXPECT_TRUE(billed.emplace(std::stoull(steps), std::stoull(steps.substr(steps.find('-') + 1))).second)
          << name;
      tokens += line["quantity"].get<std::uint64_t>();
    }
    std::uint64_t end = 0;
    for (const auto& [from, to] : billed) {
      EXPECT_EQ(from, end) << "round " << round << ": " << services().dump();
      end = to;
    }
    EXPECT_EQ(end, safe_step(over)) << "round " << round;
    EXPECT_GT(tokens, 0u);
    EXPECT_EQ(budget("lab/default").value("held_nano", 0), 0);
  }
}

TEST_F(JobsQueue, APoolLeasesToTheGatewaysThatItTrusts) {
  start("[[valve]]\nmodel = \"" + std::string(kModel) + "\"\nmode = \"ask\"\nlocal_streams = 2\n" +
            "[[valve.placeholder]]\npool = \"" + url(far_port_) + "\"\nengines = 1\nstreams = 20\n",
        "time_scale = 20\ntensor_parallel = 4\n[life]\nstart = \"leased\"\n");
  const auto at_pool = [&](const std::string& method, const std::string& target, const std::string& owner,
                           const std::string& signer = "") {
    base::ClientRequest request{method, "/qanat/v1/" + target, {}, ""};
    if (method == "PUT") request.body = json{{"owner", owner}, {"model", kModel}}.dump();
    if (!signer.empty()) {
      jobs::Ticket ticket;
      ticket.issuer = signer;
      ticket.verb = "lease";
      ticket.subject = target.substr(target.find('/') + 1);
      ticket.site = "far";
      ticket.expires_unix_ms = unix_ms() + 60'000;
      const auto key = meter::SigningKey::load_or_create(folder_.file(signer + "-artefacts") + "/key.pem");
      const std::string text = serialize(ticket);
      request.headers.add(
          std::string(jobs::kTicketHeader),
          base::to_base64url(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())) +
              "." + key.sign(text));
    }
    const auto answer = base::fetch_blocking(url(far_port_), std::move(request));
    json j = answer ? json::parse(answer->body, nullptr, false) : json();
    if (j.is_object()) j["http"] = answer->status;
    return j;
  };
  std::string bound;
  for (int i = 0; i < 400 && bound.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    const json all = at_pool("GET", "placeholders", "");
    if (all.is_object() && !all["placeholders"].empty()) {
      EXPECT_EQ(all["placeholders"][0]["owner"], "city");
      bound = all["placeholders"][0]["id"];
    }
  }
  ASSERT_FALSE(bound.empty()) << "the gateway signs\n" << gateway_->log();
  EXPECT_EQ(at_pool("PUT", "placeholders/mine", "stranger")["error"]["code"], "bad_ticket");
  EXPECT_EQ(at_pool("DELETE", "placeholders/" + bound, "")["http"], 403);
  EXPECT_EQ(at_pool("DELETE", "placeholders/" + bound, "", "port")["http"], 403)
      << "trusted, and not its owner";
  EXPECT_EQ(at_pool("PUT", "placeholders/theirs", "city", "port")["http"], 403) << "in another's name";
  EXPECT_EQ(at_pool("PUT", "placeholders/theirs", "port", "port")["http"], 200);
  EXPECT_EQ(at_pool("DELETE", "placeholders/theirs", "", "port")["http"], 200);
  const auto metrics = base::fetch_blocking(url(far_port_), {"GET", "/metrics", {}, ""});
  ASSERT_TRUE(metrics);
  EXPECT_NE(metrics->body.find("qanat_pool_leases_refused_total 4"), std::string::npos);
}

}  // namespace
}  // namespace qanat::e2e
