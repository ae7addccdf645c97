// Batches by real daemons: each line is a call, made once, billed once, whatever becomes of the gateway meanwhile.
#include <csignal>
#include <map>
#include <sstream>

#include "tests/e2e/gateway/jobs_world.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

class Batches : public JobsWorld {
 protected:
  static std::string line(std::size_t n, const json& more = {}) {
    json body{{"model", kModel},
              {"max_tokens", 4},
              {"messages", json::array({{{"role", "user"}, {"content", "So? " + std::to_string(n)}}})}};
    if (more.is_object()) body.update(more);
    return json{{"custom_id", "line-" + std::to_string(n)},
                {"method", "POST"},
                {"url", "/v1/chat/completions"},
                {"body", body}}
               .dump() +
           "\n";
  }
  std::string file(const std::string& text, const std::string& key = "") {
    const std::string form =
        "--B\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        "--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"lines.jsonl\"\r\n\r\n" +
        text + "\r\n--B--\r\n";
    base::ClientRequest request{"POST", "/v1/files", {}, form};
    request.headers.add("authorization", "Bearer " + (key.empty() ? key_ : key));
    request.headers.add("content-type", "multipart/form-data; boundary=B");
    const auto answer = base::fetch_blocking(url(port_), std::move(request));
    return answer ? json::parse(answer->body).value("id", answer->body) : "";
  }
  json create(const std::string& input, const std::string& endpoint = "/v1/chat/completions",
              const std::string& key = "") {
    return call("POST", "/v1/batches",
                {{"input_file_id", input}, {"endpoint", endpoint}, {"completion_window", "24h"}}, key);
  }
  json over(const json& batch, int seconds, const std::string& status = "completed") {
    return wait_for(
        "/v1/batches/" + batch.value("id", ""), [&](const json& j) { return has(j, "status", status); },
        seconds);
  }
  // By custom_id, each once.
  std::map<std::string, json> lines_of(const std::string& file) {
    std::map<std::string, json> out;
    std::istringstream in(tenant("GET", "/v1/files/" + file + "/content").body);
    for (std::string text; std::getline(in, text);) {
      const json one = json::parse(text);
      EXPECT_TRUE(out.emplace(one.at("custom_id"), one).second) << "twice: " << text;
    }
    return out;
  }
};

TEST_F(Batches, EveryLineIsCalledAndWhatCannotBeIsTold) {
  start("");
  const json batch =
      create(file(line(0) + line(1) + line(2, {{"model", "none"}}) + line(3, {{"n", 2}}) + line(4)));
  ASSERT_EQ(batch["http"], 200) << batch.dump(2);
  const json done = over(batch, 30);
  EXPECT_EQ(done["request_counts"], json::parse(R"({"total":5,"completed":3,"failed":2})"));
  const auto answers = lines_of(done["output_file_id"]), errors = lines_of(done["error_file_id"]);
  ASSERT_EQ(answers.size(), 3u);
  std::uint64_t tokens = 0;
  for (const auto& [id, answer] : answers) {
    EXPECT_EQ(answer["response"]["status_code"], 200);
    EXPECT_EQ(answer["response"]["body"]["object"], "chat.completion");
    tokens += answer["response"]["body"]["usage"]["completion_tokens"].get<std::uint64_t>();
  }
  EXPECT_EQ(errors.at("line-2")["error"]["code"], "model_not_found");
  EXPECT_EQ(errors.at("line-3")["error"]["code"], "unsupported_parameter");
  const json books = settled([](const json& t) { return t["calls"] >= 3; });
  EXPECT_EQ(books["tokens_billed"], tokens);
  const json line_of_one = admin_json("/v1/calls?limit=1").at(0);
  EXPECT_TRUE(line_of_one["decision"]["request_id"].get<std::string>().starts_with("batch_req_"))
      << line_of_one;
  EXPECT_EQ(call("POST", "/v1/batches/" + batch["id"].get<std::string>() + "/cancel")["http"], 409);
  EXPECT_NE(admin("GET", "/metrics").body.find("qanat_gateway_batch_lines_total{result=\"answered\"} 3"),
            std::string::npos);
}

TEST_F(Batches, OtherEndpointsDoTheSame) {
  start("");
  const auto of = [](const char* url, const json& body) {
    return json{{"custom_id", "a"}, {"method", "POST"}, {"url", url}, {"body", body}}.dump();
  };
  const json responses =
      create(file(of("/v1/responses", {{"model", kModel}, {"input", "So?"}, {"max_output_tokens", 3}})),
             "/v1/responses");
  const json vectors = create(
      file(of("/v1/embeddings", {{"model", kModel}, {"input", "So?"}, {"dimensions", 4}})), "/v1/embeddings");
  const json response = lines_of(over(responses, 20)["output_file_id"]).at("a")["response"]["body"];
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["usage"]["output_tokens"], 3);
  EXPECT_EQ(lines_of(over(vectors, 20)["output_file_id"]).at("a")["response"]["body"]["object"], "list");
}

TEST_F(Batches, AFileThatIsNoneFailsAndSaysWhere) {
  start("");
  const json failed = over(create(file(line(0) + "water\n" + line(0))), 20, "failed");
  ASSERT_EQ(failed["errors"]["data"].size(), 2u) << failed.dump(2);
  EXPECT_EQ(failed["errors"]["data"][0]["code"], "invalid_json_line");
  EXPECT_EQ(failed["errors"]["data"][0]["line"], 2);
  EXPECT_EQ(failed["errors"]["data"][1]["code"], "duplicate_custom_id");
  const std::string good = file(line(0));
  EXPECT_EQ(create("file-none")["http"], 404);
  EXPECT_EQ(create(good, "/v1/images")["http"], 400);
  EXPECT_EQ(create(good, "/v1/chat/completions", clinic_)["http"], 404) << "another's file";
  EXPECT_EQ(
      call("POST", "/v1/batches", {{"input_file_id", good}, {"endpoint", "/v1/chat/completions"}})["http"],
      400);
  EXPECT_EQ(call("GET", "/v1/batches/batch_none")["http"], 404);
  EXPECT_EQ(call("GET", "/v1/batches?limit=0")["http"], 400);
  const json mine = create(good);
  EXPECT_EQ(call("GET", "/v1/batches/" + mine["id"].get<std::string>(), {}, clinic_)["http"], 404);
  const json page = call("GET", "/v1/batches?limit=1");
  EXPECT_EQ(page["data"][0]["id"], mine["id"]) << "newest first";
  EXPECT_TRUE(page["has_more"].get<bool>());
  EXPECT_EQ(call("GET", "/v1/batches?after=" + page["last_id"].get<std::string>())["data"][0]["id"],
            failed["id"]);
  EXPECT_EQ(call("GET", "/v1/batches", {}, clinic_)["data"].size(), 0u);
}

// Some hundred milliseconds a line, so that there are always some under way when the gateway goes.
TEST_F(Batches, AGatewayThatIsKilledGoesOnAndBillsEachLineOnce) {
  start("", "time_scale = 1\n");
  constexpr std::size_t kLines = 60;
  std::string text;
  for (std::size_t n = 0; n < kLines; ++n) text += line(n, {{"max_tokens", 20}});
  const json batch = create(file(text));
  ASSERT_EQ(batch["http"], 200);
  const std::string path = "/v1/batches/" + batch["id"].get<std::string>();
  const auto answered = [](std::size_t least) {
    return [least](const json& j) {
      return j.is_object() && j.contains("request_counts") && j["request_counts"]["completed"] >= least;
    };
  };
  for (const std::size_t least : {5u, 25u}) {
    wait_for(path, answered(least), 30);
    gateway_->end(SIGKILL);
    gateway_->start();
    wait_for_pools(2);
  }
  const json done = over(batch, 60);
  EXPECT_EQ(done["request_counts"]["completed"], kLines) << done.dump(2);
  EXPECT_FALSE(done.contains("error_file_id"));
  const auto answers = lines_of(done["output_file_id"]);
  EXPECT_EQ(answers.size(), kLines);
  std::uint64_t tokens = 0;
  for (const auto& [id, answer] : answers)
    tokens += answer["response"]["body"]["usage"]["completion_tokens"].get<std::uint64_t>();
  const json books = settled([](const json& t) { return t["calls"] >= kLines; });
  EXPECT_EQ(books["sum_nano"], 0);
  const auto billed = books["tokens_billed"].get<std::uint64_t>();
  EXPECT_LE(billed, tokens);
  EXPECT_GE(billed + 2 * 4 * 20, tokens) << "at most what was between disk and socket when it was killed";
  std::map<std::string, int> paid;
  for (const json& one : admin_json("/v1/calls?limit=1000"))
    if (one["tokens_out"] > 0 && one["decision"].is_object())  // what a killed process left has none
      ++paid[one["decision"]["request_id"].get<std::string>()];
  for (const auto& [id, times] : paid) EXPECT_EQ(times, 1) << id;
}

TEST_F(Batches, WhatNeverFitsIsToldAndWhatTheDiskRefusesWaits) {
  start("");
  const json small =
      json::parse(admin("POST", "/v1/keys", R"({"tenant":"lab","max_tokens_per_minute":1})").body);
  const json never = over(create(file(line(0)), "/v1/chat/completions", small["key"]), 20);
  EXPECT_EQ(lines_of(never["error_file_id"]).at("line-0")["error"]["code"], "rate_limit_exceeded");
  // No place for its answers: it is taken up again, and nothing of it is lost.
  const std::string folder = folder_.file("city-artefacts/batches");
  std::filesystem::remove_all(folder);
  folder_.write("city-artefacts/batches", "in the way");
  const json batch = create(file(line(1) + line(2)));
  for (int i = 0; i < 200 && gateway_->log().find("taken up again") == std::string::npos; ++i)
    std::this_thread::sleep_for(milliseconds(20));
  EXPECT_NE(gateway_->log().find("taken up again"), std::string::npos);
  std::filesystem::remove(folder);
  EXPECT_EQ(over(batch, 30)["request_counts"]["completed"], 2);
}

TEST_F(Batches, ACancelledOneKeepsWhatItHas) {
  start("", "time_scale = 1\n");
  std::string text;
  for (std::size_t n = 0; n < 200; ++n) text += line(n, {{"max_tokens", 30}});
  const json batch = create(file(text));
  const std::string path = "/v1/batches/" + batch["id"].get<std::string>();
  wait_for(
      path, [](const json& j) { return j["request_counts"]["completed"] > 3; }, 20);
  bool listed = false;
  for (const json& task : admin_json("/v1/tasks"))
    listed |= task["id"] == batch["id"] && task["kind"] == "batch";
  EXPECT_TRUE(listed);
  EXPECT_EQ(call("POST", path + "/cancel")["status"], "cancelling");
  const json done = over(batch, 20, "cancelled");
  const auto count = done["request_counts"]["completed"].get<std::size_t>();
  EXPECT_LT(count, 200u);
  EXPECT_EQ(lines_of(done["output_file_id"]).size(), count);
}

TEST_F(Batches, AKeyThatIsRevokedCallsNoMore) {
  start("", "time_scale = 1\n");
  const json made = json::parse(admin("POST", "/v1/keys", R"({"tenant":"lab"})").body);
  std::string text;
  for (std::size_t n = 0; n < 40; ++n) text += line(n, {{"max_tokens", 30}});
  const json batch = create(file(text), "/v1/chat/completions", made["key"]);
  wait_for(
      "/v1/batches/" + batch["id"].get<std::string>(),
      [](const json& j) { return j["request_counts"]["completed"] > 3; }, 20);
  EXPECT_EQ(admin("DELETE", "/v1/keys/" + made["id"].get<std::string>()).status, 200);
  const json done = over(batch, 20);
  EXPECT_GT(done["request_counts"]["failed"], 0);
  for (const auto& [id, error] : lines_of(done["error_file_id"]))
    EXPECT_EQ(error["error"]["code"], "invalid_api_key");
}

}  // namespace
}  // namespace qanat::e2e
