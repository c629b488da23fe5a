namespace Grid.Benchmarks;

/// <summary>What the command line can do.</summary>
internal static class Help
{
    public const string Text = """
        dotnet run -c Release --project tests/Grid.Benchmarks -- VERB [OPTIONS]

        micro     BenchmarkDotNet: codec, log, fan-out below the socket. Further arguments are BenchmarkDotNet's (--filter *Log*).
        fanout    One publisher, many subscribers.        --subscribers 1000 --size 128 --window 1,8,64
        rooms     Rooms in which everyone hears everyone. --rooms 500 --members 10 --size 128 --rate 3000 [--only-closed | --only-rate]
        publish   Acknowledged durable publishes.         --channels 500 --size 128 --pipeline 1,16,256 [--http]
        idle      Memory per idle session.                --sessions 15000 --per-channel 10
        resume    Kill -9, restart, all sessions resume.  --sessions 10000 --per-channel 10 --at-once 500
        slow      What silent consumers cost the others.  --subscribers 1000 --slow 20 --window 64
        failover  A cluster loses a silo under load.      --silos 3 --channels 300 --rate 1500 --probe 00:00:00.500,00:00:01
                  [--stop 8]: the silo is stopped for 8 s instead of killed; --calm 60 --burn 4: first, 60 s in which four busy
                  threads take the processors away, and silos declared dead are counted; [--no-kill]: only that.
        lanes     Appends to PostgreSQL without silos.    --lanes 1,2,4,8 --channels 500 --batch 1 --logs 1: logs play silos
        day       A day of retention in minutes.          --hours 24 --channels 500 --appends 1 --batch 4: appends each minute
        all       All of the above but micro, with modest times, as one table (about five minutes).

        For all loads:
          --pairs 2            runs of each side, in turns
          --seconds 5          time measured in each run; --warmup 2 before it (and 8 more before a server's first)
          --peer nats          the same load on nats-server in the same run (fanout, rooms, idle: core; publish: JetStream)
          --silos 1,2,4        clusters of these sizes, with a PostgreSQL and a Redis each, in turns (fanout, rooms, publish, idle);
                               connections go round the silos; [--embedded]: the embedded server too. resume: --silos 3, the last is
                               killed and its sessions go to the others; [--all-on-one]: all sessions were on it
          --url U --key K      a server that runs already, instead of one started for the run (its CPU and memory are then unknown)
          --env A=1,B=2        settings and runtime switches of the server started for the run
          --perf FILE          perf samples the server while it is measured; read it with perf report -i FILE

        The server is Grid.Host of the same build, on a free port of the loopback with a temporary store. The generator is one thread;
        a line says so when it cost more CPU than the server, since it is then the generator that was measured.
        """;
}
