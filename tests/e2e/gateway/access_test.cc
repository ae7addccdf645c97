// Services by name, with the programs that tenants have: kdig and dnsperf, curl through SOCKS5 and CONNECT, qanat.
#include <signal.h>

#include "gateway/access/client/client.hh"
#include "tests/e2e/gateway/access_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

TEST_F(Access, KdigFindsServicesOverUdpAndTcp) {
  if (!installed("kdig")) GTEST_SKIP() << "kdig (knot-dnsutils) is not installed";
  const json service =
      publish(R"({"c_url":"c-url://gz.cn/api/m1","port":80,"backends":[")" + at(api_) + R"("]})");
  const std::string ipv4 = service.value("ipv4", "?"), ipv6 = service.value("ipv6", "?");
  for (const char* transport : {"", "+tcp "}) {
    EXPECT_EQ(kdig(std::string(transport) + "+short m1.api.at.gz.cn.qanat A"), ipv4 + "\n");
    EXPECT_EQ(kdig(std::string(transport) + "+short api.qanat AAAA"), ipv6 + "\n");
    EXPECT_NE(kdig(std::string(transport) + "api.qanat SVCB").find("port=80"), std::string::npos);
    EXPECT_NE(kdig(std::string(transport) + "+short api.at.cn.qanat TXT").find("c-url=c-url://gz.cn/api/m1"),
              std::string::npos);
  }
  std::string mixed = query_;
  mixed[14] = 'P';
  EXPECT_NE(datagram(mixed, dns_).find("aPi"), std::string::npos) << "0x20: the case that was asked";
  EXPECT_NE(kdig("nobody.qanat A").find("NXDOMAIN"), std::string::npos);
  EXPECT_NE(kdig("api.qanat MX").find("SOA"), std::string::npos) << "no data";
  EXPECT_NE(kdig("example.org A").find("REFUSED"), std::string::npos);
  EXPECT_NE(kdig("+edns=1 api.qanat A").find("BADVERS"), std::string::npos);

  // Eight long texts: too much for 512 bytes, enough for EDNS.
  for (char c = 'a'; c < 'i'; ++c)
    publish(R"({"c_url":"c-url://any/long/)" + std::string(100, c) +
            R"(","port":81,"backends":["127.0.0.1:9"]})");
  EXPECT_NE(kdig("+noedns +ignore long.qanat TXT").find(" tc"), std::string::npos);
  // What the asker can take, but never less than 512 (RFC 6891 §6.2.5) nor more than 1,232 (RFC 9715).
  for (const char* size : {"0", "100", "512", "1000"})
    EXPECT_NE(kdig("+ignore long.qanat TXT +bufsize=" + std::string(size)).find(" tc"), std::string::npos)
        << size;
  for (const char* size : {"1232", "4096", "65535"})
    EXPECT_EQ(kdig("+ignore long.qanat TXT +bufsize=" + std::string(size)).find(" tc"), std::string::npos)
        << size;
  const std::string by_tcp = kdig("+noedns +short long.qanat TXT");
  std::size_t texts = 0;
  for (std::size_t at = by_tcp.find("c-url=c-url://any/long/"); at != std::string::npos;
       at = by_tcp.find("c-url=c-url://any/long/", at + 1))
    ++texts;
  EXPECT_EQ(texts, 8u) << "asked again over TCP: " << by_tcp;
  for (char c = 'a'; c < 'i'; ++c)
    publish(R"({"c_url":"c-url://any/longer/)" + std::string(120, c) +
            R"(","port":81,"backends":["127.0.0.1:9"]})");
  EXPECT_NE(kdig("+bufsize=4096 +ignore longer.qanat TXT").find(" tc"), std::string::npos)
      << "1,232 and no more";
}

TEST_F(Access, MalformedQueriesAreAnsweredOrDroppedAndCounted) {
  ASSERT_EQ(datagram(query_, dns_).size() > 12, true);
  std::string pointer = query_;
  pointer[12] = '\xc0';
  EXPECT_EQ(datagram(pointer, dns_)[3] & 15, 1) << "FORMERR";
  EXPECT_EQ(datagram(query_.substr(0, 20), dns_)[3] & 15, 1);
  std::string status = query_;
  status[2] = 0x10;
  EXPECT_EQ(datagram(status, dns_)[3] & 15, 4) << "NOTIMP";
  std::string response = query_;
  response[2] = '\x80';
  EXPECT_EQ(datagram(response, dns_), "") << "an answer is never answered";
  EXPECT_EQ(datagram("short", dns_), "");
  const std::string metrics = run(admin("/metrics")).out;
  for (const char* line : {"{outcome=\"formerr\"} 2", "{outcome=\"notimp\"} 1", "{outcome=\"is_response\"} 1",
                           "{outcome=\"too_short\"} 1"})
    EXPECT_NE(metrics.find(std::string("qanat_gateway_dns_queries_total") + line), std::string::npos) << line;
}

TEST_F(Access, DnsperfLosesNothing) {
  if (!installed("dnsperf")) GTEST_SKIP() << "dnsperf is not installed";
  publish(R"({"c_url":"c-url://any/api","port":80,"backends":[")" + at(api_) + R"("]})");
  const std::string queries =
      folder_.write("queries", "api.qanat A\napi.qanat AAAA\nnobody.qanat A\napi.qanat TXT\n");
  for (const char* mode : {"udp", "tcp"}) {
    const std::string out = run("dnsperf -s 127.0.0.1 -p " + std::to_string(dns_) + " -d " + queries +
                                " -m " + mode + " -l 1 -q 20 -Q 5000")
                                .out;
    EXPECT_NE(out.find("Queries lost:         0 "), std::string::npos) << mode << "\n" << out;
  }
}

TEST_F(Access, CurlReachesServicesThroughProxiesAndTheirOwnAddresses) {
  if (!installed("curl")) GTEST_SKIP() << "curl is not installed";
  // The first backend is dead: flows go to the other.
  const json service = publish(R"({"c_url":"c-url://gz.cn/api","port":8081,"backends":["127.0.0.1:9",")" +
                               at(api_) + R"("]})");
  const std::string url = " http://api.at.gz.cn.qanat:8081/healthz -o /dev/null -w '%{http_code}'";
  EXPECT_EQ(curl("--socks5-hostname " + at(proxy_) + url), "200");
  EXPECT_EQ(curl("--proxytunnel --proxy http://" + at(proxy_) + url), "200");
  EXPECT_EQ(curl("http://" + service.value("ipv4", "?") + ":8081/healthz -o /dev/null -w '%{http_code}'"),
            "200");
  EXPECT_EQ(run("curl -s --max-time 5 --socks5-hostname " + at(proxy_) + " http://web.qanat:80/").status, 97);
  // Who speaks IPv4 reaches one that is served over IPv6.
  if (ipv6_) {
    const json six = publish(R"({"c_url":"c-url://gz.cn/six","port":8082,"backends":["[::1]:)" +
                             std::to_string(api_) + R"("]})");
    const std::string there = ":8082/healthz -o /dev/null -w '%{http_code}'";
    EXPECT_EQ(curl("--socks5-hostname " + at(proxy_) + " http://six.qanat" + there), "200");
    EXPECT_EQ(curl("http://" + six.value("ipv4", "?") + there), "200");
  }

  // One that is not for everybody: with a key of its tenant, by proxy only.
  publish(R"({"c_url":"c-url://gz.cn/hidden","port":8081,"backends":[")" + at(api_) +
          R"("],"tenants":["lab"]})");
  const std::string key = json::parse(run(admin("/v1/keys", "-d '{\"tenant\":\"lab\"}'")).out, nullptr, false)
                              .value("key", "none");
  const std::string hidden = " http://hidden.qanat:8081/healthz -o /dev/null -w '%{http_code}'";
  EXPECT_EQ(curl("--proxytunnel --proxy http://any:" + key + "@" + at(proxy_) + hidden), "200");
  EXPECT_EQ(curl("--socks5-hostname any:" + key + "@" + at(proxy_) + hidden), "200");
  EXPECT_EQ(curl("--proxytunnel --proxy http://" + at(proxy_) + hidden), "000");
  EXPECT_EQ(curl("--socks5-hostname any:wrong@" + at(proxy_) + hidden), "000");

  // What was published is there after a kill.
  gateway_->end(SIGKILL);
  start();
  EXPECT_EQ(curl("--socks5-hostname " + at(proxy_) + url), "200") << gateway_->log();
}

TEST_F(Access, DatagramsGoThroughAnAssociation) {
  publish(R"({"c_url":"c-url://any/names","protocol":"udp","port":53,"backends":[")" + at(dns_) + R"("]})");
  publish(R"({"c_url":"c-url://any/name6","protocol":"udp","port":53,"backends":["[::1]:)" +
          std::to_string(dns_) + R"("]})");
  publish(R"({"c_url":"c-url://any/api","port":80,"backends":["127.0.0.1:9"]})");
  // One that is served over IPv4, and one over IPv6; the client speaks IPv4.
  for (const char last : {'s', '6'}) {
    if (last == '6' && !ipv6_) continue;
    SCOPED_TRACE(last);
    const int control = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(proxy_));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(control, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    const timeval wait{3, 0};
    ::setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    const std::string asked{"\5\1\0\5\3\0\1\0\0\0\0\0\0", 13};
    ASSERT_EQ(::write(control, asked.data(), asked.size()), 13);
    std::string answer;
    while (answer.size() < 12) {
      char chunk[64];
      const ssize_t n = ::read(control, chunk, sizeof chunk);
      ASSERT_GT(n, 0);
      answer.append(chunk, static_cast<std::size_t>(n));
    }
    ASSERT_EQ(answer[3], 0) << "succeeded";
    const unsigned relay =
        static_cast<unsigned char>(answer[10]) << 8 | static_cast<unsigned char>(answer[11]);
    std::string head{"\0\0\0\3\13names.qanat\0\65", 18};
    head[9] = last;
    const std::string back = datagram(head + query_, relay);
    ASSERT_GT(back.size(), head.size() + 12);
    EXPECT_EQ(back.substr(0, head.size()), head);
    EXPECT_EQ(back.substr(head.size(), 2), query_.substr(0, 2));
    ::close(control);
  }
}

TEST_F(Access, AProgramDialsAConnectedSocket) {
  publish(R"({"c_url":"c-url://gz.cn/api","port":80,"backends":[")" + at(api_) + R"("]})");
  publish(R"({"c_url":"c-url://gz.cn/gone","port":81,"backends":["127.0.0.1:9"]})");
  client::Access access;
  access.proxy = at(proxy_);
  const auto socket = client::dial(access, "c-url://*.cn/api");
  ASSERT_TRUE(socket) << socket.error().message;
  const std::string request = "GET /healthz HTTP/1.0\r\n\r\n";
  ASSERT_EQ(::send(socket->fd(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  char answer[64] = {};
  ASSERT_GT(::recv(socket->fd(), answer, sizeof answer - 1, MSG_WAITALL), 12);
  EXPECT_EQ(std::string(answer).substr(0, 15), "HTTP/1.1 200 OK") << "the service's first byte is the first";
  const auto problem = [&](const client::Access& a, const char* name) {
    const auto none = client::dial(a, name);
    return none ? client::Problem::BrokeOff : none.error().problem;
  };
  EXPECT_EQ(problem(access, "c-url://gz.cn/nothing"), client::Problem::NotFound);
  EXPECT_EQ(problem(access, "c-url://gz.cn/gone"), client::Problem::NoBackend);
  EXPECT_EQ(problem(access, "c-url://gz.cn/api HTTP/1.1\r\nx: y"), client::Problem::Refused);
  access.key = "sk-qanat-none";
  EXPECT_EQ(problem(access, "c-url://gz.cn/api"), client::Problem::NotAllowed);
  access.proxy = "127.0.0.1:9";
  EXPECT_EQ(problem(access, "c-url://gz.cn/api"), client::Problem::NotReachable);
  // The example does as its first lines say.
  const char* bin = std::getenv("QANAT_BIN");
  const std::string example = (bin != nullptr ? std::string(bin) + "/" : "") + "qanat-client-example";
  EXPECT_NE(run("printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | QANAT_PROXY=" + at(proxy_) + " " + example +
                " c-url://gz.cn/api")
                .out.find("200 OK"),
            std::string::npos);
}

TEST_F(Access, TheCommandLinePublishesAndDials) {
  if (!support::DaemonProcess::available("qanat")) GTEST_SKIP() << "qanat is not built";
  const char* bin = std::getenv("QANAT_BIN");
  const std::string qanat = bin != nullptr ? std::string(bin) + "/qanat" : "qanat";
  const Ran put =
      run(qanat + " publish c-url://gz.cn/api --port 80 --to " + at(api_) + " --socket " + socket());
  EXPECT_EQ(put.status, 0) << put.out;
  EXPECT_NE(put.out.find("api.at.gz.cn.qanat"), std::string::npos) << put.out;
  EXPECT_NE(run(qanat + " service list --socket " + socket()).out.find("everybody"), std::string::npos);
  const std::string through = " --proxy " + at(proxy_);
  EXPECT_EQ(
      run(qanat + " dial c-url://gz.cn/api" + through + " -- curl -sf -o /dev/null http://{}/healthz").status,
      0);
  const Ran raw =
      run("printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | " + qanat + " dial 'c-url://*.cn/api'" + through);
  EXPECT_NE(raw.out.find("200 OK"), std::string::npos) << raw.out;
  EXPECT_EQ(run(qanat + " dial c-url://gz.cn/nothing" + through + " </dev/null").status, 4);
  EXPECT_EQ(run(qanat + " service withdraw c-url://gz.cn/api --port 80 --socket " + socket()).status, 0);
  EXPECT_EQ(run(qanat + " dial c-url://gz.cn/api" + through + " </dev/null").status, 4);
}

}  // namespace
}  // namespace qanat::e2e
