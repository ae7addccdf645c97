// The npm package `openai`, unchanged, through a gateway (openai_client/test.mjs says what it does). The package is
// installed into a folder of the build, from the lock file beside the script.
#include <cstdlib>
#include <filesystem>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

TEST_F(GatewayLab, OpenAiClientUnchanged) {
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
  const bool installed = std::filesystem::exists(folder / "node_modules" / "openai" / "package.json") &&
                         std::system((in_folder + "npm ls openai >/dev/null 2>&1").c_str()) == 0;
  if (!installed &&
      std::system((in_folder + "npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1").c_str()) != 0)
    GTEST_SKIP() << "npm cannot install the package openai here; see " << (folder / "npm.log");

  start_pools();
  start_gateway();
  const std::string script = (std::filesystem::current_path() / source / "test.mjs").string();
  const std::string c_url = "c-url://any/infer/" + std::string(kModel) + "?accel=h20&ttft=5s";
  const std::string command = in_folder + "timeout 90 node '" + script +
                              "' http://127.0.0.1:" + std::to_string(port_) + "/v1 " + key_ + " '" + c_url +
                              "' " + kModel;
  EXPECT_EQ(std::system(command.c_str()), 0) << gateway_->log();
  const auto books = settled([](const nlohmann::json& t) { return t["calls"] >= 5; });
  EXPECT_EQ(books["tokens_billed"], books["tokens_delivered"]);
}

}  // namespace
}  // namespace qanat::e2e
