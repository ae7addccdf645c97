// The nouns of jobs, data and supply as a person types them, at a real gateway and a real pool: every one of them ends well,
// says something, and leaves what it says.
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "gateway/meter/signing_key.hh"
#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

struct Said {
  int status = -1;
  std::string out;
};

class CliWalk : public GatewayLab {
 protected:
  void start() {
    const char* bin = std::getenv("QANAT_BIN");
    program_ = std::string(bin ? bin : ".") + "/qanat";
    const std::string folder = folder_.file("city-artefacts");
    std::filesystem::create_directories(folder);
    const std::string key = meter::SigningKey::load_or_create(folder + "/key.pem").public_key();
    start_pools("", "time_scale = 50\n[artefacts]\nfolder = \"" + folder_.file("far-artefacts") +
                        "\"\ntrust = [\"" + key + "\"]\n");
    more_ = "[artefacts]\nfolder = \"" + folder + "\"\n[[valve]]\nmodel = \"" + std::string(kModel) +
            "\"\nmode = \"ask\"\nlocal_streams = 4\n";
    start_gateway();
    wait_for_pools(2);
  }
  Said run(const std::string& words) {
    const std::string line = "NO_COLOR=1 QANAT_GATEWAY=http://127.0.0.1:" + std::to_string(port_) +
                             " QANAT_KEY=" + key_ + " timeout 20 " + program_ + " " + words + " 2>&1";
    Said said;
    FILE* pipe = ::popen(line.c_str(), "r");
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) said.out.append(buffer, n);
    const int status = ::pclose(pipe);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return said;
  }
  // Ends well, and says `word`.
  std::string well(const std::string& words, const std::string& word) {
    const Said said = run(words);
    EXPECT_EQ(said.status, 0) << words << "\n" << said.out;
    EXPECT_NE(said.out.find(word), std::string::npos) << words << "\n" << said.out;
    return said.out;
  }
  json as_json(const std::string& words) {
    const Said said = run(words + " --json");
    EXPECT_EQ(said.status, 0) << words << "\n" << said.out;
    return json::parse(said.out, nullptr, false);
  }
  std::string program_;
};

TEST_F(CliWalk, EveryNounOfJobsDataAndSupplyAnswers) {
  start();
  const std::string at_gateway = " --socket " + folder_.file("gw.sock"),
                    at_pool = " --socket " + folder_.file("far.sock");
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += R"({"messages":[{"role":"user","content":"ward )" + std::to_string(i) +
             R"("},{"role":"assistant","content":"water"}]})" + "\n";
  const std::string file = folder_.write("wards.jsonl", lines);

  well("dataset put " + file + " --name wards --purpose fine-tune", "wards");
  well("dataset list", "wards");
  well("send wards far --by +10m --wait", "done");
  EXPECT_EQ(run("send wards far").status, 2) << "by when, or as cheaply as can be?";
  well("dataset transfers", "wards");
  well("contract make wards --user clinic --site far1 --for finetune --uses 3 --until +7d", "contract");
  const json job = as_json("job create " + std::string(kModel) + " wards --suffix wards");
  ASSERT_TRUE(job.is_object() && job.contains("id"));
  const std::string id = job["id"].get<std::string>();
  well("job list", id);
  json now = json::object();
  for (int i = 0; i < 150 && now.value("status", "") != "succeeded"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    now = json::parse(tenant("GET", "/v1/fine_tuning/jobs/" + id).body);
  }
  well("job show " + id, "succeeded");
  const std::string version = now.value("fine_tuned_model", "none");
  well("model list", version);
  well("model switch ours " + version, "ours");
  well("artefact report wards", "transfer");
  well("statement far" + at_gateway, "agrees with");
  well("quote " + std::string(kModel) + " --prompt water --max-tokens 9", "at most");
  const json quoted = as_json("quote " + std::string(kModel) + " --prompt water --max-tokens 9");
  EXPECT_EQ(quoted["at_most"]["output_tokens"], 9);
  EXPECT_EQ(run("quote " + std::string(kModel)).status, 2) << "of what?";
  well("valve status" + at_gateway, "ask");
  well("valve plans" + at_gateway, "no plan");
  well("valve bill" + at_gateway, "total 0.000 card-seconds");
  well("pool status" + at_pool, kModel);
  well("pool offer --card 2500000 --window \"mon-sun 00:00-24:00\"" + at_pool, "daily 00:00-24:00");
  EXPECT_EQ(run("pool offer --window noon" + at_pool).status, 2);
  well("pool leases" + at_pool, "0.000 card-seconds");
}

}  // namespace
}  // namespace qanat::e2e
