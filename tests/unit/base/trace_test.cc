// Traces: what W3C's header says, and what a collector is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/trace_exporter.hh"

namespace qanat::base {
namespace {

constexpr const char* kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, ComesBackAsItWent) {
  const auto context = parse_traceparent(kExample);
  ASSERT_TRUE(context);
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(to_string(*context), kExample);
}

TEST(TraceContext, IgnoresWhatTheSpecificationIgnores) {
  const std::string good = kExample;
  for (const std::string& bad :
       {std::string{}, good.substr(1), good + "0", "ff" + good.substr(2), "0G" + good.substr(2),
        "00-" + std::string(32, '0') + good.substr(35), good.substr(0, 36) + std::string(16, '0') + "-01",
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")})
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  EXPECT_FALSE(parse_traceparent(good.substr(0, 53) + "00")->sampled);
  EXPECT_TRUE(parse_traceparent("01" + good.substr(2) + "-later")) << "a later version says more";
  EXPECT_FALSE(parse_traceparent(good + "-more")) << "version 00 does not";
}

TEST(TraceContext, AChildStaysInItsTrace) {
  const TraceContext parent = new_trace(), child = child_of(parent);
  EXPECT_EQ(child.trace, parent.trace);
  EXPECT_NE(child.span, parent.span);
  EXPECT_TRUE(child.sampled);
}

TEST(Otlp, SaysASpanAsCollectorsReadIt) {
  Span span;
  span.name = "dial";
  span.context = *parse_traceparent(kExample);
  span.parent = std::array<std::uint8_t, 8>{1, 2, 3, 4, 5, 6, 7, 8};
  span.begin_unix_ns = 1'800'000'000'000'000'000;
  span.end_unix_ns = 1'800'000'000'000'000'001;
  span.attributes = {{"qanat.pool", "far1"}};
  span.failed = true;
  const auto all = nlohmann::json::parse(otlp_json("qanat-gateway", "city", {span}))["resourceSpans"][0];
  EXPECT_EQ(all["resource"]["attributes"][0]["value"]["stringValue"], "qanat-gateway");
  const auto one = all["scopeSpans"][0]["spans"][0];
  EXPECT_EQ(one["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(one["parentSpanId"], "0102030405060708");
  EXPECT_EQ(one["kind"], 2);
  EXPECT_EQ(one["startTimeUnixNano"], "1800000000000000000") << "64 bits as text, as OTLP's JSON has it";
  EXPECT_EQ(one["attributes"][0]["key"], "qanat.pool");
  EXPECT_EQ(one["status"]["code"], 2);
}

}  // namespace
}  // namespace qanat::base
