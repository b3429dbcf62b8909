classdef Link < handle
%LINK A connection, its channel, and until when its handshake and its end may take.
  properties
    connection
    channel
    deadline
    endsAt = Inf
    isOver = false
  end
  methods
    function self = Link(connection, channel)
      self.connection = connection;
      self.channel = channel;
      self.deadline = rlay.clock() + 5;
    end
    function settle(self)
      %SETTLE Sends what there is, and closes the channel where the connection has ended.
      connection = self.connection;
      self.channel.send(connection.take());
      now = rlay.clock();
      if ~connection.isOpen && ~connection.isFinished && now > self.deadline
        connection.abort(rlay.failure(10, 'the handshake took too long'));
      end
      if connection.isFinished && isinf(self.endsAt)
        % Reads on for a second: closing over unread bytes resets the connection, and the peer may lose what was sent
        % last.
        self.endsAt = now + 1;
      end
      if self.channel.isLost
        connection.lost();
      end
      isDone = (connection.isAborted || now > self.endsAt) && ~strcmp(self.channel.kind, 'server');
      if self.channel.isLost || isDone
        self.channel.close();
        self.isOver = true;
      end
    end
  end
end
