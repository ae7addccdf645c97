// A batch's file: what is wrong with it, line by line; and what is on disk of its answers after a crash.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "gateway/jobs/batches/batch_input.hh"
#include "gateway/jobs/batches/batch_log.hh"
#include "tests/support/daemon_process.hh"

namespace qanat::jobs {
namespace {

using nlohmann::json;
constexpr const char* kChats = "/v1/chat/completions";

std::string line(const std::string& id, const std::string& body = R"({"model":"m","messages":[]})") {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":"/v1/chat/completions","body":)" + body + "}";
}

TEST(BatchInput, LinesAreWhereTheyAre) {
  const std::string file = line("a") + "\r\n\n  \n" + line("b\\n\\\"", R"({"model":"m","n":[1, 2]})");
  const BatchInput found = read_batch(file, kChats);
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(found.lines.size(), 2u);
  const BatchRequest second =
      request_of(std::string_view(file).substr(found.lines[1].offset, found.lines[1].length));
  EXPECT_EQ(second.custom_id, "b\n\"");
  EXPECT_EQ(second.body, R"({"model":"m","n":[1,2]})");
}

TEST(BatchInput, EveryMistakeIsToldWithItsLine) {
  const auto problem = [](const std::string& file) {
    const BatchInput found = read_batch(file, kChats);
    if (found.problems.size() != 1) return std::string("other: ") + std::to_string(found.problems.size());
    const BatchProblem& p = found.problems[0];
    return p.code + " " + p.param + " " + std::to_string(p.line);
  };
  EXPECT_EQ(problem(""), "empty_file  0");
  EXPECT_EQ(problem(line("a") + "\nwater"), "invalid_json_line  2");
  EXPECT_EQ(problem(line("a") + "\n\n[]"), "invalid_json_line  3");
  EXPECT_EQ(problem(line("a") + "\n" + line("a")), "duplicate_custom_id custom_id 2");
  EXPECT_EQ(problem(line("")), "missing_required_parameter custom_id 1");
  EXPECT_EQ(problem(R"({"custom_id":"a","method":"GET"})"), "invalid_method method 1");
  EXPECT_EQ(problem(R"({"custom_id":"a","method":"POST","url":"/v1/embeddings"})"), "invalid_url url 1");
  EXPECT_EQ(problem(line("a", "7")), "missing_required_parameter body 1");
  EXPECT_EQ(problem(line("a", "{}")), "missing_required_parameter body.model 1");
  EXPECT_EQ(problem(line("a", R"({"model":"m","stream":true})")), "invalid_value body.stream 1");
  EXPECT_EQ(problem(line("a", R"({"model":"m","stream":false})")), "other: 0");
  std::string many;
  for (int i = 0; i < 500; ++i) many += "x\n";
  EXPECT_EQ(read_batch(many, kChats).problems.size(), kMaxBatchProblems);
  std::string long_one;
  for (std::size_t i = 0; i <= kMaxBatchLines; ++i) long_one += line(std::to_string(i)) + "\n";
  EXPECT_EQ(problem(long_one), "too_many_lines  0");
}

TEST(BatchInput, AnswersNameTheirLines) {
  const std::string text = answer_line(batch_request_id("batch_00ff", 17), "c\"", 200, "r", R"({"x":1})");
  const json answer = json::parse(text);
  EXPECT_EQ(answer["id"], "batch_req_00ff_17");
  EXPECT_EQ(answer["custom_id"], "c\"");
  EXPECT_EQ(answer["response"], json::parse(R"({"status_code":200,"request_id":"r","body":{"x":1}})"));
  EXPECT_EQ(answer["error"], json());
  EXPECT_EQ(answered_line(text, "batch_00ff"), 17u);
  EXPECT_EQ(answered_line(text, "batch_00fe"), std::nullopt);
  EXPECT_EQ(answered_line(R"({"id":"batch_req_00ff_)", "batch_00ff"), std::nullopt);
  EXPECT_EQ(answered_line(R"({"id":"batch_req_00ff_9x"})", "batch_00ff"), std::nullopt);
  EXPECT_EQ(json::parse(error_line("i", "c", "code", "why"))["error"]["message"], "why");
}

TEST(BatchLogTest, WhatWasAppendedIsThereAndWhatWasCutOffIsNot) {
  const support::TempFolder folder("batches");
  const std::string at = folder.file("batches");
  const auto answer = [](std::size_t n) {
    return answer_line(batch_request_id("batch_1", n), "c", 200, "r", "{}");
  };
  std::string path;
  {
    BatchLog log(at, "batch_1");
    log.append(BatchLog::To::Output, answer(0));
    log.append(BatchLog::To::Output, answer(12));
    log.append(BatchLog::To::Errors, error_line(batch_request_id("batch_1", 5), "c", "x", "y"));
    path = log.path(BatchLog::To::Output);
  }
  const auto whole = std::filesystem::file_size(path);
  std::ofstream(path, std::ios::app) << answer(13).substr(0, 40);
  BatchLog log(at, "batch_1");
  EXPECT_EQ(log.lines(BatchLog::To::Output), (std::set<std::size_t>{0, 12}));
  EXPECT_EQ(log.lines(BatchLog::To::Errors), (std::set<std::size_t>{5}));
  EXPECT_EQ(std::filesystem::file_size(path), whole);
  log.append(BatchLog::To::Output, answer(13));
  EXPECT_EQ(BatchLog(at, "batch_1").lines(BatchLog::To::Output).count(13), 1u);
  log.remove();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace qanat::jobs
