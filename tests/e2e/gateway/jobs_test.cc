// Jobs and data by real daemons on loopback. Scale: a fine-tune of 15 GB is 12 MB here, 1:1250; three chunks of 4 MiB.
//
//   owner, clinic ── http ──> gateway "city" ── tickets ──> pool "local" (city), pool "far" (far1)
//                                 └── switch ──> gateway "port"
#include <atomic>
#include <csignal>
#include <thread>

#include "gateway/jobs/artefact/manifest.hh"
#include "gateway/jobs/contract/audit_tree.hh"
#include "gateway/meter/signing_key.hh"
#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Jobs : public GatewayLab {
 protected:
  // Pools trust the gateway's key, which is there before it is.
  void start(const std::string& express, const std::string& engine = "time_scale = 1\n") {
    const auto about = key_of("city-artefacts");
    engine_ = engine;
    local_port_ = support::free_port();
    far_port_ = support::free_port();
    port2_ = support::free_port();
    port_ = support::free_port();
    keys_ = "trust = [\"" + about + "\", \"" + key_of("port-artefacts") + "\"]\n";
    local_ = pool("local", "city", local_port_);
    far_ = pool("far", "far1", far_port_);
    gateway_ = gateway("city", "gw", port_,
                       express + "[[artefacts.peer]]\nname = \"port\"\nurl = \"" + url(port2_) + "\"\n");
    gateway_->start();
    wait_for_pools(2);
    key_ = key("lab");
    clinic_ = key("clinic");
  }
  static std::string url(unsigned port) { return "http://127.0.0.1:" + std::to_string(port); }
  // Makes the key as the daemon would, by letting a gateway's store start once.
  std::string key_of(const std::string& folder) {
    const std::string path = folder_.file(folder);
    std::filesystem::create_directories(path);
    return meter::SigningKey::load_or_create(path + "/key.pem").public_key();
  }
  std::string key(const std::string& tenant) {
    return json::parse(admin("POST", "/v1/keys", json{{"tenant", tenant}}.dump()).body)
        .at("key")
        .get<std::string>();
  }
  std::unique_ptr<support::DaemonProcess> pool(const std::string& id, const std::string& site,
                                               unsigned port) {
    const std::string config = folder_.write(
        id + ".toml", "id = \"" + id + "\"\nprovider = \"pml\"\nlocation = \"" + site +
                          ".gz.cn\"\nsite = \"" + site + "\"\nlisten = \"127.0.0.1:" + std::to_string(port) +
                          "\"\nsocket = \"" + folder_.file(id + ".sock") + "\"\nusage_db = \"" +
                          folder_.file(id + ".db") + "\"\ncards = \"H20\"\ncount = 8\nmodels = [\"" + kModel +
                          "\"]\n[price]\ninput = 400\noutput = 1600\n[engine]\n" + engine_ +
                          "[artefacts]\nfolder = \"" + folder_.file(id + "-artefacts") + "\"\n" + keys_);
    auto process = std::make_unique<support::DaemonProcess>(
        "qanat-pool", std::vector<std::string>{"--config", config}, folder_.file(id + ".log"));
    process->start();
    return process;
  }
  std::unique_ptr<support::DaemonProcess> gateway(const std::string& name, const std::string& socket,
                                                  unsigned port, const std::string& artefacts) {
    const std::string config = folder_.write(
        name + ".toml",
        "name = \"" + name + "\"\nlocation = \"gz.cn\"\nlisten = [\"127.0.0.1:" + std::to_string(port) +
            "\"]\nsocket = \"" + folder_.file(socket + ".sock") + "\"\nledger = \"" +
            folder_.file(name + ".ledger") + "\"\njournal = \"" + folder_.file(name + ".journal") +
            "\"\n[[pool]]\nurl = \"" + url(local_port_) + "\"\nlocal = true\n[[pool]]\nurl = \"" +
            url(far_port_) + "\"\n[artefacts]\nfolder = \"" + folder_.file(name + "-artefacts") + "\"\n" +
            keys_ + artefacts);
    return std::make_unique<support::DaemonProcess>(
        "qanat-gateway", std::vector<std::string>{"--config", config}, folder_.file(name + ".log"));
  }

  // A training file of so many bytes, as JSON lines, sent by its chunks; its file's id.
  std::string put(const std::string& name, std::size_t bytes, const std::string& key = "") {
    std::string text;
    const std::string pad(4000, 'w');
    for (std::size_t i = 0; text.size() < bytes; ++i)
      text += R"({"messages":[{"role":"user","content":")" + name + std::to_string(i) + pad +
              R"("},{"role":"assistant","content":"water"}]})" + "\n";
    const jobs::Manifest manifest = jobs::manifest_of(text);
    const json begun = json::parse(
        tenant("POST", "/qanat/v1/artefacts?name=" + name + "&purpose=fine-tune", serialize(manifest), key)
            .body);
    for (const std::size_t n : begun.at("missing"))
      EXPECT_EQ(
          tenant("PUT", "/qanat/v1/artefacts/" + begun.at("id").get<std::string>() + "/" + std::to_string(n),
                 text.substr(n * manifest.chunk_bytes, manifest.bytes_of(n)), key)
              .status,
          200);
    return begun.at("id");
  }
  json call(const std::string& method, const std::string& target, const json& body = {},
            const std::string& key = "") {
    const auto answer = tenant(method, target, body.is_null() ? "" : body.dump(), key);
    json j = json::parse(answer.body, nullptr, false);
    if (j.is_object()) j["http"] = answer.status;
    return j;
  }
  json wait_for(const std::string& target, const std::function<bool(const json&)>& ready, int seconds,
                const std::string& key = "") {
    json j;
    for (const auto end = Clock::now() + std::chrono::seconds(seconds); Clock::now() < end;) {
      j = call("GET", target, {}, key);
      if (ready(j)) return j;
      std::this_thread::sleep_for(milliseconds(40));
    }
    ADD_FAILURE() << target << ": " << j.dump(2) << gateway_->log();
    return j;
  }
  static bool has(const json& j, const char* key, const std::string& value) {
    return j.is_object() && j.contains(key) && j[key] == value;
  }

  std::string clinic_, keys_, engine_;
  unsigned port2_ = 0;
  std::unique_ptr<support::DaemonProcess> second_;
};

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
  jobs::AuditTree tree;
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
    wait_for(
        transfer, [&](const json& j) { return j.value("bytes_moved", 0ULL) >= bytes; }, 10);
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

}  // namespace
}  // namespace qanat::e2e
