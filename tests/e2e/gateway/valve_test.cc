// The valve with real daemons: a burst overflows to leased cards and leaves them; plans, kill -9, cold starts, dispatch.
//
//   tenant ──> qanat-gateway ──> "local"  4 × L40, always up
//                    └─────────> "far"    2 engines of 4 × H20, leased: up while this gateway's placeholder wants them
#include <csignal>
#include <thread>

#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::int64_t kCardNano = 2'500'000;  // per second

class ValveEndToEnd : public GatewayLab {
 protected:
  void start(const std::string& mode, const std::string& cool_down = "3s") {
    far_price_ = "card = " + std::to_string(kCardNano) + "\n";
    // A cold start of half a minute, twenty times faster.
    start_pools("time_scale = 20\nmax_num_seqs = 2\n",
                "time_scale = 20\ntensor_parallel = 4\n[life]\nstart = \"leased\"\n");
    more_ = "[[valve]]\nmodel = \"" + std::string(kModel) + "\"\nmode = \"" + mode +
            "\"\nlocal_streams = 2\ncool_down = \"" + cool_down + "\"\nlead = \"1s\"\n" +
            "[[valve.placeholder]]\npool = \"http://127.0.0.1:" + std::to_string(far_port_) +
            "\"\nengines = 2\nstreams = 20\n[sla]\nttft_ms = 300\n";
    start_gateway();
    wait_until([&] { return placeholder()["nano_per_s"] == 4 * kCardNano; });
  }
  json valve() { return admin_json("/v1/valves").at(0); }
  json placeholder() { return valve().at("placeholders").at(0); }
  json uses() { return admin_json("/v1/valve-uses"); }
  json at_pool() {
    const auto answer = base::fetch_blocking("http://127.0.0.1:" + std::to_string(far_port_),
                                             {"GET", "/qanat/v1/placeholders", {}, ""});
    return answer ? json::parse(answer->body) : json();
  }
  std::uint64_t pool_card_ms() {
    std::uint64_t sum = 0;
    const json all = at_pool();
    for (const json& p : all["placeholders"]) sum += p["card_ms"].get<std::uint64_t>();
    return sum;
  }
  void wait_until(const std::function<bool()>& done) {
    for (int i = 0; i < 400; ++i) {
      if (done()) return;
      std::this_thread::sleep_for(milliseconds(25));
    }
    ADD_FAILURE() << valve().dump(1) << gateway_->log() << far_->log();
  }
  // Everything used is billed: the pool's own count, to the millisecond.
  void expect_bill_equals_use() {
    wait_until([&] { return placeholder()["held"] == 0 && uses()["card_ms"] == pool_card_ms(); });
    const json bill = uses();
    EXPECT_EQ(bill["card_ms"], pool_card_ms());
    EXPECT_NEAR(bill["total_nano"].get<double>(), bill["card_ms"].get<double>() / 1e3 * kCardNano,
                kCardNano / 100.0);
  }
};

TEST_F(ValveEndToEnd, ABurstOpensItAndEveryCardComesBackWithinTheCoolDown) {
  start("auto");
  EXPECT_EQ(valve()["state"], "shut");
  EXPECT_EQ(streams(1, chat_body(20)).at(0).pool, "local");
  EXPECT_EQ(at_pool()["placeholders"][0]["card_ms"], 0) << "bound, and no card held";

  // Five times what the local pool is said to hold, again and again for some seconds.
  std::size_t far = 0;
  const auto begin = steady_clock::now();
  const auto lasted = [&] { return steady_clock::now() - begin; };
  while (lasted() < std::chrono::seconds(3) || (far == 0 && lasted() < std::chrono::seconds(20)))
    for (const Seen& seen : streams(10, chat_body(150))) {
      EXPECT_EQ(seen.status, 200) << seen.body;
      EXPECT_FALSE(seen.closed);
      far += seen.pool == "far" ? 1 : 0;
    }
  const auto ended = steady_clock::now();
  EXPECT_GT(far, 0u) << valve().dump(1);
  wait_until([&] { return placeholder()["held"] == 0 && valve()["state"] == "shut"; });
  EXPECT_LT(steady_clock::now() - ended, std::chrono::seconds(6)) << "cool-down 3 s, and a busy machine";
  expect_bill_equals_use();
  EXPECT_GT(uses()["card_ms"].get<int>(), 0);
}

TEST_F(ValveEndToEnd, AConfirmedPlanAndItsCardTimeSurviveKillMinusNine) {
  start("ask", "40s");
  const auto burst = [&] { return streams(5, chat_body(150)); };
  for (const Seen& seen : burst()) EXPECT_EQ(seen.pool, "local");
  json plans;
  for (int i = 0; i < 20 && plans.empty(); ++i) {
    burst();
    plans = admin_json("/v1/valve-plans");
  }
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_EQ(valve()["placeholders"][0]["awake"], 0);
  EXPECT_EQ(plans[0]["nano_per_hour"], 4 * kCardNano * 3600 * plans[0]["engines"][0]["engines"].get<int>());
  const std::string confirm = "/v1/valves/" + std::string(kModel) + "/plans/" + plans[0]["id"].dump();
  EXPECT_EQ(admin("POST", confirm + "/confirm").status, 200);
  gateway_->end(SIGKILL);
  start_gateway();
  EXPECT_EQ(admin("POST", confirm + "/confirm").status, 409) << "it was confirmed, and that is known";
  EXPECT_EQ(admin_json("/v1/valve-plans")[0]["state"], "confirmed");
  wait_until([&] { return placeholder()["serving"].get<int>() > 0; });
  gateway_->end(SIGKILL);
  std::this_thread::sleep_for(milliseconds(200));  // card time that nobody books
  start_gateway();
  wait_until([&] { return placeholder()["held"].get<int>() > 0; });
  EXPECT_EQ(admin("POST", "/v1/valves/" + std::string(kModel) + "/close").status, 200);
  EXPECT_EQ(valve()["mode"], "closed");
  expect_bill_equals_use();
}

TEST_F(ValveEndToEnd, ACallWaitsForAColdPlaceholderOnlyIfItsWishAllows) {
  start("auto");
  const auto ask = [&](const std::string& ttft) {
    return tenant(
        "POST", "/v1/chat/completions",
        chat_body(5, false, "c-url://any/infer/" + std::string(kModel) + "?accel=h20&ttft=" + ttft).dump());
  };
  const auto refused = ask("200ms");
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.body.find("pool_starting"), std::string::npos) << refused.body;
  EXPECT_NE(refused.headers.value_or("retry-after", ""), "");
  const auto waited = ask("20s");
  EXPECT_EQ(waited.status, 200) << waited.body << valve().dump(1);
}

TEST_F(ValveEndToEnd, ADispatchTurnsAWishIntoCardsAndAWayThereAndGivesBothBack) {
  // The box beside the gateway; no controller answers it, and it takes SLAs all the same.
  const std::string box_socket = folder_.file("box.sock");
  support::DaemonProcess box(
      "qanatd",
      {"--config",
       folder_.write("box.toml", "name = \"city\"\nlocation = \"gz.cn\"\nstate_dir = \"" +
                                     folder_.file("box") + "\"\nsocket = \"" + box_socket +
                                     "\"\n[controller]\naddresses = [\"127.0.0.1:1\"]\njoin_token_file = \"" +
                                     folder_.file("join") +
                                     "\"\n[[line]]\nplane = 1\naddress = \"127.0.0.1\"\nport = " +
                                     std::to_string(support::free_port()) + "\n")},
      folder_.file("box.log"));
  box.start();
  const auto at_box = [&] {
    const auto answer = base::fetch_blocking("unix:" + box_socket, {"GET", "/v1/sla", {}, ""});
    return answer && answer->status == 200 ? json::parse(answer->body) : json();
  };
  settings_ = "dataplane_socket = \"" + box_socket + "\"\n";
  far_entry_ = "node = \"far1\"\n";
  start("auto");
  wait_until([&] { return at_box().is_array(); });
  json wish{{"model", "qwen-32b"}, {"streams", 30}, {"ttft_ms", 2000}, {"tpot_ms", 100}, {"keep_up", true}};
  wish["max_nano_per_hour"] = 1;
  const auto dear = admin("POST", "/v1/dispatches", wish.dump());
  EXPECT_EQ(dear.status, 409) << dear.body;
  EXPECT_EQ(at_box(), json::array()) << "what is refused reserves nothing";
  wish["max_nano_per_hour"] = 1e15;
  wish["bandwidth_mbps"] = 20;
  const auto made = admin("POST", "/v1/dispatches", wish.dump());
  ASSERT_EQ(made.status, 201) << made.body;
  const json dispatch = json::parse(made.body);
  EXPECT_EQ(dispatch["choices"][0]["pool"], "far") << dispatch.dump(1);
  EXPECT_GE(dispatch["choices"][0]["streams_per_engine"].get<int>(), 15);
  EXPECT_EQ(dispatch["network"][0]["state"], "asked") << dispatch["network"].dump();
  const json way = at_box();
  ASSERT_EQ(way.size(), 1u);
  EXPECT_EQ(way[0]["name"], dispatch["network"][0]["sla"]);
  EXPECT_EQ(way[0]["to"], "far1");
  EXPECT_EQ(way[0]["tier"], "interactive");
  EXPECT_EQ(way[0]["bandwidth_mbps"], 20.0);
  const std::string target = "/v1/dispatches/" + dispatch["id"].get<std::string>();
  gateway_->end(SIGKILL);
  start_gateway();
  box.end(SIGKILL);
  EXPECT_EQ(admin_json(target)["network"][0]["state"], "box away");
  box.start();  // it has forgotten what it was asked: it is asked again
  wait_until([&] { return admin_json(target)["network"][0]["state"] == "asked" && at_box().size() == 1; });
  wait_until([&] { return admin_json(target)["state"] == "serving"; });
  EXPECT_TRUE(admin_json(target)["network"][0].contains("destinations"));
  EXPECT_EQ(admin("DELETE", target).status, 200);
  EXPECT_EQ(at_box(), json::array());
  wait_until([&] { return at_pool()["placeholders"].empty(); });
  EXPECT_EQ(admin("GET", target).status, 404);
  EXPECT_EQ(admin("POST", "/v1/dispatches", R"({"model":"70b","streams":0})").status, 400);
}

// The owner's side: prices and hours that hold at once, and books of both sides that agree to the nano after kill -9 of
// the pool and of the gateway.
TEST_F(ValveEndToEnd, TheOwnersOfferHoldsAndBothBooksAgreeAfterKills) {
  start("auto", "1s");
  const auto owner = [&](const std::string& method, const std::string& target, const std::string& body = "") {
    const auto answer = base::fetch_blocking("unix:" + folder_.file("far.sock"), {method, target, {}, body});
    return answer ? json::parse(answer->body, nullptr, false) : json();
  };
  const std::string open = "/v1/valves/" + std::string(kModel) + "/open";
  EXPECT_EQ(admin("POST", open, R"({"engines":1})").status, 200);
  wait_until([&] { return placeholder()["serving"].get<int>() > 0; });
  EXPECT_EQ(owner("PUT", "/qanat/v1/offer", R"({"windows":["noon"]})")["error"]["code"], "invalid_value");
  EXPECT_EQ(owner("PUT", "/qanat/v1/offer", R"({"price":{"card_nano_s":5000000}})")["version"], 2);
  wait_until([&] { return placeholder()["nano_per_s"] == 4 * 5'000'000; });
  far_->end(SIGKILL);
  far_->start();
  wait_until([&] { return placeholder()["serving"].get<int>() > 0 && placeholder()["error"] == ""; });
  EXPECT_EQ(placeholder()["nano_per_s"], 4 * 5'000'000) << "the offer survives";
  gateway_->end(SIGKILL);
  start_gateway();
  wait_until([&] { return placeholder()["held"].get<int>() > 0; });

  // A window that is not now: the engines drain, calls and dispatches find nothing there.
  const auto now = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const auto yesterday = std::chrono::weekday(now - std::chrono::days(2)).iso_encoding() - 1;
  const char* const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  const json shut = {{"windows", {std::string(days[yesterday]) + " 01:00-01:01"}}};
  EXPECT_EQ(owner("PUT", "/qanat/v1/offer", shut.dump())["open"], false);
  wait_until([&] { return placeholder()["open"] == false && placeholder()["held"] == 0; });
  EXPECT_TRUE(placeholder()["opens_unix_ms"].is_number());
  EXPECT_EQ(placeholder()["awake"], 0) << "what is shut is not asked for";

  const auto theirs = [&] { return owner("GET", "/qanat/v1/leases"); };
  const auto ours = [&] { return admin_json("/v1/statements/far"); };
  wait_until([&] { return ours()["services_nano"] == theirs()["charged_nano"]; });
  EXPECT_GT(theirs()["charged_nano"].get<std::int64_t>(), 0);
  EXPECT_EQ(theirs()["lines"].size(), 1u) << "one right, however often its pool was killed";
  EXPECT_EQ(ours()["services_nano"], theirs()["charged_nano"]);
  EXPECT_EQ(ours()["disagreeing"], 0);
  EXPECT_EQ(uses()["total_nano"], theirs()["charged_nano"]);
}

}  // namespace
}  // namespace qanat::e2e
