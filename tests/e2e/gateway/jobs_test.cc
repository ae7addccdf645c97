// Jobs and data by real daemons on loopback. Scale: a fine-tune of 15 GB is 12 MB here, 1:1250; three chunks of 4 MiB.
#include <atomic>
#include <csignal>

#include "gateway/audit/audit_tree.hh"
#include "tests/e2e/gateway/jobs_world.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using Jobs = JobsWorld;

// Ten data sets with deadlines over shared links, one too many, one that waits for the night, a gateway killed in between.
TEST_F(Jobs, DeadlinesThatArePromisedAreKept) {
  // Off-peak begins some seconds from now.
  const auto of_day = [](std::int64_t ms) {
    const std::int64_t s = ms / 1000 % 86'400;
    char text[16];
    std::snprintf(text, sizeof text, "%02d:%02d:%02d", int(s / 3600), int(s / 60 % 60), int(s % 60));
    return std::string(text);
  };
  const std::int64_t night = unix_ms() / 1000 * 1000 + 4000;
  start("off_peak = [\"" + of_day(night) + "-" + of_day(night + 3'600'000) +
        "\"]\npeak_nano_per_mb = 2000\noff_peak_nano_per_mb = 600\n"
        "[[artefacts.link]]\nname = \"uplink\"\nmbps = 400\n"
        "[[artefacts.link]]\nname = \"far\"\nmbps = 240\nsites = [\"far1\"]\n");
  std::vector<std::string> sets;
  for (int i = 0; i < 11; ++i)
    sets.push_back(put("set" + std::to_string(i), 1'000'000 + 100'000 * std::size_t(i)));
  const std::int64_t began = unix_ms();
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    const json t = call(
        "POST", "/qanat/v1/transfers",
        {{"dataset", sets[i]}, {"site", i % 2 ? "far1" : "local"}, {"by_unix_ms", began + 4000 + 300 * i}});
    ASSERT_EQ(t["http"], 201) << t.dump();
    EXPECT_EQ(t["tier"], "bulk");
    ids.push_back(t["id"]);
  }
  // 2 MB to far1 in 20 ms cannot be: refused at once, with a deadline that is taken.
  const json no = call("POST", "/qanat/v1/transfers",
                       {{"dataset", sets[10]}, {"site", "far1"}, {"by_unix_ms", unix_ms() + 20}});
  EXPECT_EQ(no["http"], 409);
  EXPECT_EQ(no["error"]["code"], "deadline_too_early");
  EXPECT_GT(no["earliest_unix_ms"].get<std::int64_t>(), unix_ms());
  EXPECT_LT(no["earliest_unix_ms"].get<std::int64_t>(), began + 10'000);
  EXPECT_EQ(call("POST", "/qanat/v1/transfers", {{"dataset", sets[10]}, {"site", "moon"}})["http"], 404);
  const json cheap = call("POST", "/qanat/v1/transfers", {{"dataset", sets[10]}, {"site", "far1"}});
  ASSERT_EQ(cheap["http"], 201) << cheap.dump();
  EXPECT_EQ(cheap["tier"], "scavenger");

  gateway_->end(SIGKILL);
  gateway_->start();
  wait_for_pools(2);
  std::int64_t paid = 0;
  for (const std::string& id : ids) {
    const json t = wait_for(
        "/qanat/v1/transfers/" + id, [](const json& j) { return has(j, "state", "done"); }, 20);
    EXPECT_TRUE(t["in_time"].get<bool>()) << t.dump(2);
    paid += t["price_nano"].get<std::int64_t>();
  }
  const json done = wait_for(
      "/qanat/v1/transfers/" + cheap["id"].get<std::string>(),
      [](const json& j) { return has(j, "state", "done"); }, 20);
  EXPECT_GE(done["finished_unix_ms"].get<std::int64_t>(), night);
  EXPECT_EQ(done["bytes_off_peak"], done["bytes_moved"]);
  EXPECT_LT(done["price_nano"].get<std::int64_t>() * 3,
            done["bytes_moved"].get<std::int64_t>() * 2000 / 1'000'000)
      << "less than a third of the day's price";
  paid += done["price_nano"].get<std::int64_t>();
  // It is there now: nothing has to move, and nothing is paid.
  const json again = call("POST", "/qanat/v1/transfers", {{"dataset", sets[10]}, {"site", "far1"}});
  EXPECT_EQ(again["bytes_to_move"], 0);
  const json services = call("GET", "/qanat/v1/services");
  EXPECT_EQ(services["total_nano"], paid);
}

// Three pools, two of them at one site: the border is crossed once, the neighbour serves the neighbour.
TEST_F(Jobs, OneArtefactReachesManyPoolsFromTheNearestCopies) {
  const unsigned port3 = support::free_port();
  start("peak_nano_per_mb = 1000\n[[pool]]\nurl = \"" + url(port3) + "\"\n");
  const auto near = pool("near", "far1", port3);
  wait_for_pools(3);
  const std::string file = put("weights", 12'000'000);
  const json wanted{{"dataset", file}, {"pools", {"local", "far", "near"}}};
  const json begun = call("POST", "/qanat/v1/spreads", wanted);
  ASSERT_EQ(begun["http"], 201) << begun.dump();
  gateway_->end(SIGKILL);  // it goes on with what is missing
  gateway_->start();
  wait_for_pools(3);
  const json done = wait_for(
      "/qanat/v1/spreads/" + begun["id"].get<std::string>(),
      [](const json& j) { return has(j, "state", "done"); }, 30);
  std::map<std::string, std::string> from;
  for (const json& one : done["pools"]) {
    from[one["pool"]] = one["from"].is_string() ? one["from"].get<std::string>() : "";
    EXPECT_EQ(one["bytes_missing"], 0);
  }
  EXPECT_EQ(from["near"], "far") << done.dump(2);
  EXPECT_EQ(from["far"], "city");
  EXPECT_EQ(from["local"], "city");
  EXPECT_EQ(done["price_nano"], begun["at_most_nano"]);
  EXPECT_EQ(call("GET", "/qanat/v1/services")["total_nano"], done["price_nano"]);
  // Everything is there now: nothing moves, nothing is paid.
  const json again = call("POST", "/qanat/v1/spreads", wanted);
  EXPECT_EQ(again["at_most_nano"], 0);
  for (const json& one : again["pools"]) EXPECT_EQ(one["state"], "there") << one.dump();
  EXPECT_EQ(call("POST", "/qanat/v1/spreads", {{"dataset", file}, {"pools", {"moon"}}})["http"], 404);
}

TEST_F(Jobs, AContractIsEnforcedAndItsReportEqualsTheTree) {
  start("", "time_scale = 1000\n");
  const std::string file = put("wards", 300'000);
  const auto contract = [&](json terms) {
    terms["artefact"] = "wards";
    const json made = call("POST", "/qanat/v1/contracts", terms);
    EXPECT_EQ(made["http"], 201) << made.dump();
    return made["id"].get<std::string>();
  };
  const auto tune = [&](const std::string& site) {
    return call("POST", "/v1/fine_tuning/jobs",
                {{"model", kModel},
                 {"training_file", file},
                 {"x_qanat", {{"pools", {site}}, {"dataset_tokens", 400'000'000}}}},
                clinic_);
  };
  const auto refused = [](const json& j) {
    return j["http"] == 403 ? j["error"]["code"].get<std::string>() : j.dump();
  };
  EXPECT_EQ(refused(tune("far")), "contract_missing");
  const std::string expired = contract({{"users", {"clinic"}},
                                        {"sites", {"far1"}},
                                        {"purposes", {"finetune"}},
                                        {"expires_unix_ms", unix_ms() - 1}});
  EXPECT_EQ(refused(tune("far")), "contract_expired");
  const std::string good =
      contract({{"users", {"clinic"}}, {"sites", {"far1"}}, {"purposes", {"finetune"}}, {"uses", 1}});
  // The newest is looked at first, the last refusal is told: the other one expired.
  EXPECT_EQ(call("POST", "/qanat/v1/contracts/" + expired + "/revoke")["http"], 200);
  EXPECT_EQ(refused(tune("local")), "contract_revoked");
  const json job = tune("far");
  ASSERT_EQ(job["http"], 200) << job.dump();
  const std::string at = "/v1/fine_tuning/jobs/" + job["id"].get<std::string>();
  wait_for(
      at, [](const json& j) { return has(j, "status", "running"); }, 15, clinic_);
  EXPECT_EQ(call("POST", "/qanat/v1/transfers", {{"dataset", file}, {"site", "far1"}}, clinic_)["http"], 403);
  // Taken back in the middle of its use: the pool ends it, and says under which clause.
  EXPECT_EQ(call("POST", "/qanat/v1/contracts/" + good + "/revoke")["pools_told"]["far"], true);
  const json ended = wait_for(
      at, [](const json& j) { return has(j, "status", "failed"); }, 10, clinic_);
  EXPECT_EQ(ended["error"]["code"], "contract_revoked");

  // The report's rows, hashed by ourselves, are the tree.
  const json report = call("GET", "/qanat/v1/artefacts/wards/report");
  EXPECT_EQ(report["equals_audit_tree"], true);
  EXPECT_EQ(report["allowed"], 1);
  EXPECT_GE(report["refused"].get<int>(), 4);
  audit::AuditTree tree;
  for (const json& use : report["uses"]) {
    nlohmann::ordered_json leaf;
    for (const char* field :
         {"number", "contract", "artefact", "user", "site", "purpose", "use", "unix_ms", "allowed", "clause"})
      leaf[field] = use[field];
    tree.append(leaf.dump());
  }
  EXPECT_EQ(to_string(tree.root()), report["tree_root"]);
  EXPECT_EQ(call("GET", "/qanat/v1/audit")["root"], report["tree_root"]);
  const json copies = call("DELETE", "/qanat/v1/artefacts/wards/copies");
  EXPECT_NE(copies.dump().find("attestation"), std::string::npos);
}

// Interrupted on its way twice, its pool killed, another gateway there: the job ends, its model is switched in and back.
TEST_F(Jobs, AFineTuneSurvivesItsPoolAndItsModelIsSwitchedEverywhere) {
  start("", "time_scale = 500\n");
  second_ =
      gateway("port", "port", port2_, "[[artefacts.peer]]\nname = \"city\"\nurl = \"" + url(port_) + "\"\n");
  second_->start();
  const std::string file = put("wards", 12'000'000);
  // On its way to the far pool, which is killed twice before it has everything.
  const json way = call("POST", "/qanat/v1/transfers",
                        {{"dataset", "wards"}, {"site", "far"}, {"by_unix_ms", unix_ms() + 60'000}});
  ASSERT_EQ(way["http"], 201) << way.dump();
  const std::string transfer = "/qanat/v1/transfers/" + way["id"].get<std::string>();
  for (const std::uint64_t bytes : {4'000'000u, 8'000'000u}) {
    // What was stored as the pool died, unanswered, need not be moved again: then it may be there sooner.
    const auto moved = [&](const json& j) {
      return j.value("bytes_moved", 0ULL) >= bytes || has(j, "state", "done");
    };
    wait_for(transfer, moved, 10);
    far_->end(SIGKILL);
    far_->start();
  }
  const json there = wait_for(
      transfer, [](const json& j) { return has(j, "state", "done"); }, 15);
  EXPECT_LE(there["bytes_moved"].get<std::uint64_t>(), there["bytes"].get<std::uint64_t>())
      << "missing chunks only";
  wait_for_pools(2);

  const json wanted{{"model", kModel},
                    {"training_file", file},
                    {"suffix", "wards"},
                    {"x_qanat", {{"dataset_tokens", 3'000'000}, {"checkpoint_steps", 40}}}};
  json job = call("POST", "/v1/fine_tuning/jobs", wanted);
  for (int i = 0; i < 100 && job["http"] != 200; ++i) {  // the pools have only just come back
    std::this_thread::sleep_for(milliseconds(50));
    job = call("POST", "/v1/fine_tuning/jobs", wanted);
  }
  ASSERT_EQ(job["http"], 200) << job.dump();
  const std::string at = "/v1/fine_tuning/jobs/" + job["id"].get<std::string>();
  const json running = wait_for(
      at, [](const json& j) { return has(j, "status", "running") && j["x_qanat"].value("safe_step", 0) > 0; },
      20);
  const bool at_far = running["x_qanat"]["ran_at"] == "far";
  support::DaemonProcess& home = at_far ? *far_ : *local_;
  home.end(SIGKILL);
  const json done = wait_for(
      at, [](const json& j) { return has(j, "status", "succeeded"); }, 30);
  EXPECT_EQ(done["x_qanat"]["ran_at"], at_far ? "local" : "far");
  EXPECT_EQ(done["x_qanat"]["moves"], 2);
  EXPECT_LT(done["x_qanat"]["after"]["train_loss"].get<double>(),
            done["x_qanat"]["before"]["train_loss"].get<double>());
  const std::string events = call("GET", at + "/events").dump();
  EXPECT_NE(events.find("again from the checkpoint at step"), std::string::npos);
  EXPECT_GE(call("GET", at + "/checkpoints")["data"].size(), 2u);
  // Every trained token is paid once, to whom trained it.
  std::uint64_t tokens = 0;
  const json services = call("GET", "/qanat/v1/services");
  for (const json& line : services["lines"])
    if (line["kind"] == "finetune") tokens += line["quantity"].get<std::uint64_t>();
  EXPECT_EQ(tokens, 3'000'000u);

  // Switched in at both gateways while calls come in: each answer names one version, and after the switch the new one.
  home.start();
  wait_for_pools(2);
  const std::string version = done["fine_tuned_model"];
  const std::string other = json::parse(base::fetch_blocking("unix:" + folder_.file("port.sock"),
                                                             {"POST", "/v1/keys", {}, R"({"tenant":"lab"})"})
                                            ->body)["key"];
  const auto ask = [&](unsigned port, const std::string& key) {
    base::ClientRequest request{"POST",
                                "/v1/chat/completions",
                                {{"authorization", "Bearer " + key}},
                                chat_body(4, false, "wards").dump()};
    const auto answer = base::fetch_blocking(url(port), std::move(request));
    const json j = answer ? json::parse(answer->body, nullptr, false) : json();
    return j.is_object() ? j.value("model", "none") : std::string("gone");
  };
  const json base_in = call("POST", "/qanat/v1/models/wards/switch", {{"version", kModel}});
  ASSERT_EQ(base_in["http"], 200) << base_in.dump() << second_->log();
  std::atomic<bool> stop = false;
  std::vector<std::string> seen;
  std::thread caller([&] {
    for (bool first = true; !stop; first = !first)
      seen.push_back(ask(first ? port_ : port2_, first ? key_ : other));
  });
  const json in = call("POST", "/qanat/v1/models/wards/switch", {{"version", version}});
  EXPECT_EQ(in["http"], 200) << in.dump() << second_->log();
  // The pool that trained it has it; the one that was killed gets a copy.
  ASSERT_EQ(in["pools"].size(), 2u) << in.dump();
  const std::string trained = at_far ? "local" : "far";
  for (const json& pool : in["pools"])
    EXPECT_EQ(pool["from"].is_null(), pool["pool"] == trained) << in.dump();
  EXPECT_EQ(ask(port_, key_), version);
  EXPECT_EQ(ask(port2_, other), version);
  const json back = call("POST", "/qanat/v1/models/wards/rollback", json::object());
  EXPECT_EQ(back["http"], 200) << back.dump();
  EXPECT_EQ(ask(port_, key_), kModel);
  EXPECT_EQ(ask(port2_, other), kModel);
  stop = true;
  caller.join();
  for (const std::string& model : seen) EXPECT_TRUE(model == version || model == kModel) << model;
  EXPECT_GT(seen.size(), 4u);
  // A gateway that cannot be asked: nothing is switched anywhere.
  second_->end(SIGKILL);
  EXPECT_EQ(call("POST", "/qanat/v1/models/wards/switch", {{"version", version}})["http"], 409);
  EXPECT_EQ(ask(port_, key_), kModel);
  EXPECT_EQ(ask(port_, clinic_), "none") << "another tenant's name is nobody's";
}

// Away when the job came, back when the only pool that took it dies: asked then, at no more than was agreed.
TEST_F(Jobs, APoolThatWasAwayTakesAJobWhoseOwnIsLost) {
  start("", "time_scale = 500\n");
  far_->end(SIGKILL);
  wait_for_pools(1);
  const json job = call("POST", "/v1/fine_tuning/jobs",
                        {{"model", kModel},
                         {"training_file", put("wards", 100'000)},
                         {"x_qanat", {{"dataset_tokens", 3'000'000}, {"checkpoint_steps", 40}}}});
  ASSERT_EQ(job["http"], 200) << job.dump();
  EXPECT_EQ(job["x_qanat"]["pools"], json::array({"local"}));
  const std::string at = "/v1/fine_tuning/jobs/" + job["id"].get<std::string>();
  wait_for(
      at, [](const json& j) { return has(j, "status", "running"); }, 20);
  far_->start();
  local_->end(SIGKILL);
  const json done = wait_for(
      at, [](const json& j) { return has(j, "status", "succeeded"); }, 30);
  EXPECT_EQ(done["x_qanat"]["ran_at"], "far");
  EXPECT_EQ(done["x_qanat"]["moves"], 2);
  EXPECT_EQ(done["x_qanat"]["pools"], json::array({"local", "far"}));
  EXPECT_EQ(done["x_qanat"]["at_most_nano"], job["x_qanat"]["at_most_nano"]);
}

}  // namespace
}  // namespace qanat::e2e
