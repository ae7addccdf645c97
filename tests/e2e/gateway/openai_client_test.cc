// The npm packages `openai`, `ai`, `@langchain/openai` and `@openai/agents`, unchanged, through a gateway, and a walk that
// checks every body against OpenAI's OpenAPI document (openai_client/*.mjs say what they do). The packages are installed
// into a folder of the build, from the lock file beside the scripts.
#include <cstdlib>
#include <filesystem>

#include "tests/e2e/gateway/jobs_world.hh"
#include "tests/e2e/gateway/scripted_pool.hh"

namespace qanat::e2e {
namespace {

TEST_F(JobsWorld, ClientsOfOpenAiUnchanged) {
  const std::filesystem::path source = "tests/e2e/gateway/openai_client";
  const std::filesystem::path folder =
      std::filesystem::path(std::getenv("QANAT_BIN") ? std::getenv("QANAT_BIN") : ".") / ".." /
      "openai_client";
  if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
  std::filesystem::create_directories(folder);
  for (const char* file : {"package.json", "package-lock.json"})
    std::filesystem::copy_file(source / file, folder / file,
                               std::filesystem::copy_options::overwrite_existing);
  const std::string in_folder = "cd '" + folder.string() + "' && ";
  // The same lock file as last time: what is there is what it asks for.
  const bool installed =
      std::system((in_folder + "cmp -s package-lock.json node_modules/.of-lock").c_str()) == 0;
  if (!installed &&
      std::system((in_folder + "npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1 && cp "
                               "package-lock.json node_modules/.of-lock")
                      .c_str()) != 0)
    GTEST_SKIP() << "npm cannot install the clients here; see " << (folder / "npm.log");

  const unsigned handy_port = support::free_port();
  const ScriptedPool handy("handy", handy_port, true, "127.0.0.1",
                           "tool-caller");  // the simulated pools call no tools
  start("[[pool]]\nurl = \"" + url(handy_port) + "\"\n", "", 3);
  const auto key_of = [&](const std::string& account) {
    return json::parse(admin("POST", "/v1/keys", account).body).at("key").get<std::string>();
  };
  const std::string poor = key_of(R"({"tenant":"poor"})");
  const std::string one_call = key_of(R"({"tenant":"one","max_calls":1})");
  admin("PUT", "/v1/budgets", R"({"account":"poor","limit_nano":1})");
  const auto here = std::filesystem::current_path();
  const auto passes = [&](const char* script, const std::string& more = {}) {
    const std::string command = in_folder + "timeout 60 node '" + (here / source / script).string() +
                                "' http://127.0.0.1:" + std::to_string(port_) + "/v1 " + key_ +
                                " 'c-url://any/infer/" + kModel + "?accel=h20&ttft=5s' " + kModel + " " +
                                more;
    return std::system(command.c_str()) == 0;
  };
  EXPECT_TRUE(passes("test.mjs")) << gateway_->log();
  EXPECT_TRUE(passes("others.mjs", "c-url://any/infer/tool-caller")) << gateway_->log();
  const auto document = here / "../shared/data/openai/openapi.json.gz";
  if (std::filesystem::exists(document))
    EXPECT_TRUE(passes("walk.mjs", "'" + document.string() + "' " + poor + " " + one_call +
                                       " c-url://any/infer/tool-caller"))
        << gateway_->log();
  const auto books = settled([](const json& t) { return t["calls"] >= 25; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
  EXPECT_EQ(books["sum_nano"], 0);
  if (!std::filesystem::exists(document)) GTEST_SKIP() << "walk.mjs alone did not run: no " << document;
}

}  // namespace
}  // namespace qanat::e2e
