function [isReadable, isWritable] = waitFor(listener, readers, writers, timeout)
%WAITFOR Waits until one of readers has received something, or one of writers can send or was connected.
%   Also until the listener, unless that is [], has a peer to accept, and for at most so many seconds. Returns which.
  isReadable = false(1, numel(readers));
  isWritable = false(1, numel(writers));
  if exist('OCTAVE_VERSION', 'builtin') == 0
    started = tic();
    while true
      isReadable = cellfun(@(channel) channel.isReadable(), readers);
      if any(isReadable) || (~isempty(listener) && listener.hasPeer()) || toc(started) >= timeout
        return
      end
      pause(0.001);
    end
  end
  reading = cellfun(@(channel) channel.descriptor(), readers);
  writing = cellfun(@(channel) channel.descriptor(), writers);
  watched = reading(:).';
  if ~isempty(listener)
    watched = [listener.descriptor() watched];
  end
  if isempty(watched) && isempty(writing)
    pause(timeout);
    return
  end
  [n, readable, writable] = select(max([watched writing(:).']) + 1, watched, writing, [], timeout);
  if n > 0
    isReadable = ismember(reading(:).', readable);
    isWritable = ismember(writing(:).', writable);
  end
end
