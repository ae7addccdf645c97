// StepDetector: tells a step from noise, in a path's loss or delay, as early as the evidence allows (Page's CUSUM).
// So that routes follow what changed, and nothing else: noise gathers no evidence, a real step does within few samples.
#pragma once

#include <cstdint>

namespace qanat::path {

// Loss that came to stay: a path that swallows a good part of what it is given, though never all of it.
//
// state  | evidence over kRaise | evidence under kCalm
// -------+----------------------+---------------------
// calm   | raised               | –
// raised | –                    | calm
class LossStep {
 public:
  // Log likelihood of "gray" against "as usual", in nats. At 1 % of usual loss a false alarm takes over a million
  // probes; 30 % is told after about 19.
  static constexpr double kRaise = 14;
  static constexpr double kCalm = 3;
  static constexpr double kMost = 28;    // so that the way back is bounded: about 120 probes without loss
  static constexpr double kGray = 0.25;  // the loss that is looked for
  static constexpr double kLeastUsual = 0.01;  // below this, usual loss makes no difference
  static constexpr double kMostUsual = 0.10;  // above this it is never usual: 17 % and more raises in the end

  // `sent` more probes are known about, of which `lost` are missing; negative: some that were missing came after all.
  // `usual` is the path's loss in the longer run, 0 … 1. True when the state changed.
  bool on_outcomes(std::uint32_t sent, std::int64_t lost, double usual);
  bool raised() const { return raised_; }
  void reset() { *this = {}; }

 private:
  double score_ = 0;
  bool raised_ = false;
};

// A step of a delay's level, up or down. Values in microseconds, of any origin: one-way raw values serve.
//
// state    | first 16 samples | noise            | a step's evidence is complete
// ---------+------------------+------------------+----------------------------------------------
// learning | settled          | –                | –
// settled  | –                | the level drifts | the level is taken from the samples since it began
class StepDetector {
 public:
  static constexpr int kLearn = 16;
  // In units of the noise's mean deviation: a sample counts by what it exceeds kSlack by; kRaise of that make a step. A
  // step of ten deviations takes 3 samples, one of two 25; Gaussian noise makes a false one in hundreds of thousands.
  static constexpr double kSlack = 1;
  static constexpr double kRaise = 25;
  static constexpr double kMost = 10;  // no single sample counts more: an outlier is no step
  static constexpr double kLeastNoiseUs = 200;

  // True when a step was taken.
  bool on_sample(std::int64_t us);
  bool settled() const { return samples_ >= kLearn; }
  // Where the delay stands, free of noise.
  std::int64_t level_us() const { return origin_ + static_cast<std::int64_t>(level_); }
  std::int64_t noise_us() const { return static_cast<std::int64_t>(noise_); }
  // Of the newest step: after − before.
  std::int64_t step_us() const { return step_; }
  std::uint32_t steps() const { return steps_; }

 private:
  struct Side {
    double score = 0;
    double sum = 0;  // of the samples since the score left zero
    int count = 0;
  };
  bool gather(Side& side, double deviation, double value);

  std::int64_t origin_ = 0;
  double level_ = 0;
  double noise_ = 0;  // mean absolute deviation
  int samples_ = 0;
  Side up_;
  Side down_;
  std::int64_t step_ = 0;
  std::uint32_t steps_ = 0;
};

}  // namespace qanat::path
