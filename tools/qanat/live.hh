// Live: what is drawn again and again on a terminal: `--watch` on any command that only looks, `qanat top`, progress bars.
// Plain ANSI: no library, no other screen; what was last drawn stays when it is interrupted.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

namespace qanat::cli {

// Takes --watch or --watch=SECONDS out of the arguments: how often, or nothing where it was not asked. Throws CommandError
// where the command does more than look.
std::optional<std::chrono::milliseconds> take_watch(int& argc, char** argv);
// Runs `command` and draws what it prints, until interrupted. Where standard output is no terminal, one text after another.
[[noreturn]] void watch(std::chrono::milliseconds every, const std::function<int()>& command);
// Draws `text` in the place of what was drawn before, as much as fits the terminal.
void draw(const std::string& text);

// How far long work is, on standard error: a bar on a terminal; else a line at each tenth, for logs.
class Progress {
 public:
  // `shown` false: it says nothing (--json).
  explicit Progress(bool shown = true) : shown_(shown) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `of` 0: nothing to do, which is all of it. `rest` stands behind the bar.
  void show(double done, double of, const std::string& rest);

 private:
  bool shown_;
  int last_tenth_ = -1;
  bool open_ = false;  // a bar stands on the terminal's line
};

}  // namespace qanat::cli
