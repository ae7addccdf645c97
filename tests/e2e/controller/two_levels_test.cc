// Two real qanat-controllers on loopback, a domain under the global level: how they find each other, and what each keeps of
// the other when it is gone.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "base/file.hh"
#include "tests/e2e/controller/controller_process.hh"

namespace qanat::e2e {
namespace {

TEST(TwoLevels, ADomainEnrolsWithTheGlobalControllerAndLivesWithoutIt) {
  ControllerProcess global(0);
  const std::string join = ::testing::TempDir() + "qanat-join-" + std::to_string(getpid());
  base::write_file(join, global.join_token("domain-3") + "\n");
  ControllerProcess domain(3, "[parent]\naddresses = [\"127.0.0.1:" + std::to_string(global.port()) +
                                  "\"]\njoin_token_file = \"" + join + "\"\n");
  const auto parent_is = [&](const std::string& state) {
    return soon(
        [&] { return contains(domain.rest("GET", "/v1/status").body, "\"parent\":\"" + state + "\""); });
  };
  EXPECT_TRUE(parent_is("connected")) << domain.log() << global.log();
  std::remove(join.c_str());  // used once

  TestBox city("city");
  ASSERT_EQ(city.enrol(domain, domain.join_token("city")), "");
  const auto wire = city.connect(domain);
  ASSERT_TRUE(city.take_delta(*wire));
  EXPECT_TRUE(soon([&] { return contains(global.rest("GET", "/v1/nodes").body, "\"name\":\"city\""); }));
  EXPECT_EQ(global
                .rest("PUT", "/v1/tenants/lab",
                      R"({"vni":100,"members":[{"node":"city","addresses":["100.96.1.1/32"]}]})")
                .status,
            200);
  for (int i = 0; i < 8 && city.held.tenants().empty(); ++i) {
    if (!city.take_delta(*wire)) break;
  }
  ASSERT_EQ(city.held.tenants_size(), 1) << domain.log() << global.log();

  global.kill();
  EXPECT_TRUE(parent_is("lost"));
  domain.kill();
  domain.start();
  EXPECT_TRUE(contains(domain.rest("GET", "/v1/tenants").body, "\"from_parent\":true"))
      << "kept without the global level";
  global.start();
  EXPECT_TRUE(parent_is("connected")) << domain.log() << global.log();
}

// The highest CA of all, replaced while a domain is connected: the domain believes the next one before it signs, gets a
// certificate of it, and comes back with nothing else, as does the global level.
TEST(TwoLevels, TheGlobalLevelsCaIsReplacedAndItsDomainStays) {
  ControllerProcess global(0);
  const std::string join = ::testing::TempDir() + "qanat-join-ca-" + std::to_string(getpid());
  base::write_file(join, global.join_token("domain-3") + "\n");
  ControllerProcess domain(3, "[parent]\naddresses = [\"127.0.0.1:" + std::to_string(global.port()) +
                                  "\"]\njoin_token_file = \"" + join + "\"\n");
  const auto parent_is_connected = [&] {
    return soon([&] { return contains(domain.rest("GET", "/v1/status").body, "\"parent\":\"connected\""); });
  };
  ASSERT_TRUE(parent_is_connected()) << domain.log() << global.log();
  std::remove(join.c_str());
  const auto ca = [&] { return global.rest("GET", "/v1/ca").body; };
  const auto phase = [&](const std::string& wanted) {
    return soon([&] { return contains(ca(), "\"phase\":\"" + wanted + "\""); });
  };
  const auto fingerprint = [&] {
    const std::string all = ca();
    return all.substr(all.find("\"fingerprint\""), 80);
  };
  const std::string before = fingerprint();

  EXPECT_EQ(global.rest("POST", "/v1/ca/rotate").status / 100, 2);
  EXPECT_EQ(global.rest("POST", "/v1/ca/rotate").status, 409) << "one at a time";
  EXPECT_TRUE(phase("switched")) << ca() << domain.log();
  EXPECT_TRUE(parent_is_connected());
  EXPECT_TRUE(phase("stable") || phase("stable")) << ca() << domain.log() << global.log();
  EXPECT_NE(fingerprint(), before);

  global.kill();
  global.start();
  EXPECT_TRUE(parent_is_connected()) << "the global level's leaf is the new CA's" << domain.log();
  domain.kill();
  domain.start();
  EXPECT_TRUE(parent_is_connected()) << "and the domain's" << domain.log() << global.log();
}

}  // namespace
}  // namespace qanat::e2e
