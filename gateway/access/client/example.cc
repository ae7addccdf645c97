// What a program needs to call compute by name: who would serve it, an answer as it comes, a socket to any service.
//   QANAT_GATEWAY=http://… QANAT_KEY=sk-qanat-… qanat-client-example C-URL PROMPT
//   QANAT_PROXY=HOST:PORT qanat-client-example C-URL           sends standard input, prints what comes back
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <iterator>

#include "gateway/access/client/client.hh"

namespace {

int tell(const qanat::client::Failure& failure) {
  std::cerr << to_string(failure.problem) << ": " << failure.message << "\n";
  return 1;
}

int ask(const qanat::client::Access& access, const std::string& model, const std::string& prompt) {
  const auto candidates = resolve(access, model);
  if (!candidates) return tell(candidates.error());
  for (const auto& c : *candidates)
    std::cerr << c.instance << (c.filtered_by.empty() ? "" : " is out: " + c.filtered_by) << "\n";

  qanat::client::Chat chat;
  chat.model = model;
  chat.prompt = prompt;
  chat.max_tokens = 64;
  const auto answer = qanat::client::chat(access, chat, [](std::string_view text) {
    std::cout << text << std::flush;
    return true;
  });
  if (!answer) return tell(answer.error());
  std::cerr << "\n"
            << answer->completion_tokens << " tokens from " << answer->pool << ", " << answer->call << "\n";
  return 0;
}

int send(const qanat::client::Access& access, const std::string& c_url) {
  const auto socket = dial(access, c_url);
  if (!socket) return tell(socket.error());
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (::send(socket->fd(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return 1;
  char bytes[4096];
  for (ssize_t n; (n = ::read(socket->fd(), bytes, sizeof bytes)) > 0;) std::cout.write(bytes, n);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const qanat::client::Access access = qanat::client::from_environment();
  if (argc == 3) return ask(access, argv[1], argv[2]);
  if (argc == 2) return send(access, argv[1]);
  std::cerr << "usage: qanat-client-example C-URL [PROMPT]\n";
  return 2;
}
