// qanat capture: what passes a box, live: into a file, or read aloud by tcpdump or tshark.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <memory>

#include "base/http_message.hh"
#include "tools/linkem/netns.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {
namespace {

namespace asio = boost::asio;

struct Close {
  bool pipe = false;
  void operator()(std::FILE* file) const {
    if (pipe)
      ::pclose(file);
    else if (file != stdout)
      std::fclose(file);
  }
};
using Sink = std::unique_ptr<std::FILE, Close>;

Sink open_sink(const CaptureRequest& request) {
  if (!request.file.empty() && request.file != "-") {
    Sink file(std::fopen(request.file.c_str(), "wb"), Close{});
    if (!file) throw CommandError{kFailed, "cannot write '" + request.file + "'", {}};
    return file;
  }
  const std::string reader = !request.reader.empty()                                ? request.reader
                             : request.file.empty() && ::isatty(STDOUT_FILENO) == 1 ? "tcpdump"
                                                                                    : "";
  if (reader.empty()) return Sink(stdout, Close{});
  const std::string command = reader == "tshark" ? "tshark -l -n -r -" : "tcpdump -l -n -v -r -";
  Sink pipe(::popen(command.c_str(), "w"), Close{true});
  if (!pipe) throw CommandError{kFailed, "cannot run " + reader, "--write FILE keeps the packets instead"};
  return pipe;
}

// Packets in what was read so far, to stop after so many: pcapng blocks, whatever the pieces they come in.
class BlockCounter {
 public:
  // How many bytes of `bytes` to keep: all, or up to the end of the last block wanted.
  std::size_t feed(std::string_view bytes, std::uint64_t most) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (seen_ < 8) head_[seen_] = static_cast<unsigned char>(bytes[at]);
      if (++seen_ < 8) continue;
      if (seen_ == 8) length_ = word(4);
      if (seen_ < length_) continue;
      seen_ = 0;
      if (word(0) == 6 && ++packets_ == most) return at + 1;
    }
    return bytes.size();
  }
  std::uint64_t packets() const { return packets_; }

 private:
  std::uint32_t word(std::size_t at) const {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | head_[at + i];
    return value;
  }
  unsigned char head_[8] = {};
  std::size_t seen_ = 0;
  std::size_t length_ = 0;
  std::uint64_t packets_ = 0;
};

asio::awaitable<void> record(base::HttpClient& client, const Place& box, base::ClientRequest request,
                             std::uint64_t most, std::FILE* sink, BlockCounter& counter) {
  auto stream = co_await client.open(box.origin, std::move(request));
  if (!stream) throw not_reachable(box, stream.error());
  if (stream->status() != 200) {
    const auto body = co_await stream->read_all(64 * 1024);
    throw refused(box, stream->status(), body ? *body : std::string{});
  }
  while (most == 0 || counter.packets() < most) {
    const auto part = co_await stream->read_some();
    if (!part || part->empty()) break;
    const std::size_t keep = counter.feed(*part, most);
    if (std::fwrite(part->data(), 1, keep, sink) != keep || std::fflush(sink) != 0) break;
  }
}

}  // namespace

int capture(const Options& options, const CaptureRequest& request) {
  const auto box = find_box(options, request.node);
  if (!box)
    throw CommandError{kNotFound, "no box '" + request.node + "' on this machine",
                       "`qanat status` shows what runs; --socket PATH names a box's socket"};
  base::ClientRequest http;
  http.target = "/v1/capture?side=" + request.side + "&filter=" + base::percent_encode(request.filter);
  base::HttpClientOptions client_options;
  client_options.connect_timeout = std::chrono::seconds{3};
  client_options.read_timeout = std::chrono::hours{24};
  ::signal(SIGPIPE, SIG_IGN);

  BlockCounter counter;
  std::exception_ptr failure;
  {
    const linkem::NetnsScope inside{box->netns};
    const Sink sink = open_sink(request);
    asio::io_context io{1};
    base::HttpClient client{io, client_options};
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](auto, int) { io.stop(); });
    asio::co_spawn(io, record(client, *box, std::move(http), request.count, sink.get(), counter),
                   [&](std::exception_ptr e) {
                     failure = e;
                     io.stop();
                   });
    io.run();
  }
  if (failure) std::rethrow_exception(failure);
  fmt::print(stderr, "{} packets\n", counter.packets());
  return 0;
}

}  // namespace qanat::cli
