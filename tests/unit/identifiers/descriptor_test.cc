// Descriptor: its JSON is canonical and strict; every kind of problem names its field.
#include "identifiers/descriptor/descriptor.hh"

#include <gtest/gtest.h>

#include <limits>

namespace qanat::descriptor {
namespace {

Descriptor sample() {
  Descriptor d;
  d.id = "far1-h20";
  d.provider = "pml";
  d.location = "guian.gz.cn";
  d.site = "far1";
  d.residency = "cn";
  d.services = {"infer"};
  d.card = {"nvidia", "h20", 8, 96'000'000'000, 4'000'000'000'000, {{"bf16", 1.48e14}, {"fp8", 2.96e14}}};
  d.models = {{"deepseek-r1-distill-qwen-32b", "1", "bf16", 32768, {400, 100, 1600}}};
  d.state = {7, 2000, Health::Serving, {}};
  EngineState e;
  e.model = d.models[0].name;
  e.max_num_seqs = 256;
  e.running = 3;
  e.queued_prefill_tokens = 17;
  e.kv_used_tokens = 900;
  e.kv_total_tokens = 900'000;
  e.decode = {9000.25, 31.5, 0.0625};
  e.prefill = {120, 45.1};
  d.state.engines = {e};
  return d;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Descriptor, RoundTrip) {
  const Descriptor d = sample();
  const auto again = parse(serialize(d));
  ASSERT_TRUE(again.has_value()) << to_string(again.error());
  EXPECT_EQ(*again, d);
  EXPECT_EQ(serialize(*again), serialize(d));
  EXPECT_EQ(d.find_engine(d.models[0].name)->decode.step_us(2, 16), 9000.25 + 63 + 1);
}

TEST(Descriptor, NumbersSurviveExactly) {
  Descriptor d = sample();
  d.state.generation = std::numeric_limits<std::uint64_t>::max();
  d.models[0].price.output = (1ull << 53) + 1;
  d.state.engines[0].decode.base_us = 0.1 + 0.2;
  const auto again = parse(serialize(d));
  ASSERT_TRUE(again.has_value()) << to_string(again.error());
  EXPECT_EQ(*again, d);
}

TEST(Descriptor, ResidencyDefaultsToTheLastLabel) {
  const auto d = parse(replaced(serialize(sample()), R"("residency":"cn",)", ""));
  ASSERT_TRUE(d.has_value());
  EXPECT_EQ(d->residency, "cn");
}

struct Wrong {
  const char* from;
  const char* to;
  Errc code;
  const char* where;
};

TEST(Descriptor, EveryProblemNamesItsField) {
  const Wrong table[] = {
      {R"("version":1,"id")", R"("version":2,"id")", Errc::WrongVersion, "version"},
      {R"("site":"far1",)", "", Errc::MissingKey, "site"},
      {R"("site":"far1")", R"("site":"far1","sight":1)", Errc::UnknownKey, "sight"},
      {R"("site":"far1")", R"("site":7)", Errc::WrongType, "site"},
      {R"("site":"far1")", R"("site":"Far 1")", Errc::OutOfRange, "site"},
      {R"("location":"guian.gz.cn")", R"("location":"guian..cn")", Errc::OutOfRange, "location"},
      {R"("services":["infer"])", R"("services":["z","a"])", Errc::OutOfRange, "services"},
      {R"("services":["infer"])", R"("services":"infer")", Errc::WrongType, "services"},
      {R"("count":8)", R"("count":-8)", Errc::OutOfRange, "card.count"},
      {R"("count":8)", R"("count":8.5)", Errc::WrongType, "card.count"},
      {R"("count":8)", R"("count":4294967296)", Errc::OutOfRange, "card.count"},
      {R"("count":8)", R"("count":0)", Errc::OutOfRange, "card.count"},
      {R"("input":400)", R"("input":"400")", Errc::WrongType, "models[0].price.input"},
      {R"("max_context":32768)", R"("max_context":0)", Errc::OutOfRange, "models[0].max_context"},
      {R"("ttl_ms":2000)", R"("ttl_ms":0)", Errc::OutOfRange, "state.ttl_ms"},
      {R"("health":"serving")", R"("health":"fine")", Errc::OutOfRange, "state.health"},
      {R"("running":3)", R"("running":300)", Errc::Inconsistent, "state.engines[0].running"},
      {R"("kv_used_tokens":900,)", R"("kv_used_tokens":9000000,)", Errc::Inconsistent,
       "state.engines[0].kv_used_tokens"},
      {R"("engines":[{"model":"deepseek)", R"("engines":[{"model":"gpt)", Errc::Inconsistent,
       "state.engines[0].model"},
      {R"("base_us":120.0)", R"("base_us":-1)", Errc::OutOfRange, "state.engines[0].prefill.base_us"},
  };
  const std::string good = serialize(sample());
  for (const Wrong& wrong : table) {
    const auto d = parse(replaced(good, wrong.from, wrong.to));
    ASSERT_FALSE(d.has_value()) << wrong.to;
    EXPECT_EQ(d.error().where, wrong.where) << wrong.to;
    EXPECT_EQ(d.error().code, wrong.code) << to_string(d.error());
  }
}

TEST(Descriptor, BoundsComeFirst) {
  EXPECT_EQ(parse(std::string(kMaxBytes + 1, ' ')).error().code, Errc::TooLong);
  EXPECT_EQ(parse(std::string(100'000, '[')).error().code, Errc::NotJson);
  for (const char* bad : {"", "{", "[]", "7", "{}x", "{\"a\":\"\xff\"}"})
    EXPECT_FALSE(parse(bad).has_value()) << bad;
  Descriptor many = sample();
  many.models.assign(kMaxModels + 1, many.models[0]);
  EXPECT_EQ(parse(serialize(many)).error().code, Errc::TooLong);
}

}  // namespace
}  // namespace qanat::descriptor
