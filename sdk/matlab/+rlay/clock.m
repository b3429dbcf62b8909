function seconds = clock()
%CLOCK Seconds since the first call, by a clock that cannot be set.
  persistent started
  if isempty(started)
    started = tic();
  end
  seconds = toc(started);
end
